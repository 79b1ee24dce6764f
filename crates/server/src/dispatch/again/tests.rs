use super::*;

const DEVICE: DeviceId = DeviceId([0; 32]);
const LAST: DeviceId = DeviceId([0xff; 32]);

fn row(device: DeviceId, attempts: i64) -> Waiting {
    Waiting {
        job: String::new(),
        device: device.to_string(),
        verdict: "refused".to_owned(),
        note: None,
        attempts,
        round: None,
        sent_ms: Some(1_000_000),
    }
}

fn after(work: Work, code: &str, attempts: i64, halted: bool) -> When {
    refused(&work, &row(DEVICE, attempts), &code.parse().unwrap(), 1_000_000, halted)
}

#[test]
fn pauses_double_up_to_an_hour_and_never_end() {
    let due = |attempts| after(Work::Refused(DEVICE), "outside_hours", attempts, false);
    assert_eq!(due(0), When::At(1_030_000));
    assert_eq!(due(1), When::At(1_060_000));
    assert_eq!(due(4), When::At(1_480_000));
    for attempts in [7, 60, i64::MAX] {
        assert_eq!(due(attempts), When::At(4_600_000), "{attempts}");
    }
}

#[test]
fn it_is_due_once_its_pause_is_over_whoever_asks() {
    for work in [Work::Refused(DEVICE), Work::Device(DEVICE), Work::Unheard(DEVICE)] {
        let code = "outside_hours".parse().unwrap();
        assert_eq!(refused(&work, &row(DEVICE, 0), &code, 1_029_999, false), When::At(1_030_000));
        assert_eq!(refused(&work, &row(DEVICE, 0), &code, 1_030_000, false), When::Now);
    }
}

#[test]
fn devices_are_asked_at_different_times_by_half_a_pause() {
    let code = "outside_hours".parse().unwrap();
    let due = |device| refused(&Work::Refused(device), &row(device, 1), &code, 0, false);
    assert_eq!((due(DEVICE), due(LAST)), (When::At(1_060_000), When::At(1_090_000)));
}

#[test]
fn what_a_halt_stops_waits_an_hour_or_for_a_decision() {
    assert_eq!(after(Work::Device(DEVICE), "halted", 0, true), When::At(4_600_000));
    assert_eq!(after(Work::Refused(DEVICE), "halted", 0, false), When::At(1_030_000));
    assert_eq!(
        after(Work::Device(DEVICE), "halted", 9, false),
        When::Now,
        "it was away when all was resumed"
    );
    assert_eq!(after(Work::Anew(DEVICE), "halted", 9, true), When::Now);
}

#[test]
fn room_and_a_newer_proof_are_asked_for_at_once_and_a_few_times() {
    assert_eq!(after(Work::Device(DEVICE), "busy", 2, false), When::Now);
    assert_eq!(after(Work::Device(DEVICE), "busy", 3, false), When::At(1_240_000));
    assert_eq!(after(Work::Refused(DEVICE), "busy", 0, false), When::At(1_030_000));
    assert_eq!(after(Work::Refused(DEVICE), "log", 2, false), When::Now);
    assert_eq!(after(Work::Refused(DEVICE), "log", 3, false), When::At(1_240_000));
}

#[test]
fn what_does_not_pass_is_never_due_again() {
    for work in [Work::Device(DEVICE), Work::Unheard(DEVICE), Work::Refused(DEVICE), Work::Anew(DEVICE)] {
        assert_eq!(after(work, "expired", 0, false), When::Never);
        assert_eq!(when(&work, &row(DEVICE, 0), u64::MAX, false), When::Never, "a receipt without a code");
    }
}

#[test]
fn what_waits_is_due_and_what_was_sent_only_where_nothing_is_heard() {
    let at = |verdict: &str| Waiting { verdict: verdict.to_owned(), ..row(DEVICE, 0) };
    assert_eq!(when(&Work::Device(DEVICE), &at("waiting"), 0, false), When::Now);
    assert_eq!(when(&Work::Anew(DEVICE), &at("waiting"), 0, false), When::Now);
    assert_eq!(when(&Work::Refused(DEVICE), &at("waiting"), 0, false), When::Never);
    assert_eq!(when(&Work::Unheard(DEVICE), &at("sent"), 0, false), When::Now);
    assert_eq!(when(&Work::Device(DEVICE), &at("sent"), 0, false), When::Never);
    assert_eq!(when(&Work::Anew(DEVICE), &at("sent"), 0, false), When::Never);
}
