//! Somebody says stop, while the server is in the wrong hands: to four beacons, and to nobody else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use countersign_trust::clear::Clear;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::time::Time;

use super::stores::Field;
use super::story::Story;
use crate::http::Http;
use crate::organization::{sign, word};
use crate::part::{now, until};

/// How many acknowledgements set a halt: n - m + 2 of four beacons, three of which an agent needs.
const SETS: usize = 3;

/// How many answers of each beacon there are to be before and after.
const ENOUGH: usize = 3;

/// One answer of a beacon: when it was asked, when it had answered, whether it named the halt.
struct Seen {
    asked: Instant,
    came: Instant,
    names: bool,
}

/// What came of handing a halt to all beacons.
pub struct Handed {
    /// Its hash.
    pub hash: Sha256,
    /// When somebody pressed the key.
    pub began: Instant,
}

/// Bo's halt of everything.
pub fn of_everything(field: &Field) -> Signed {
    let halt = Halt {
        org: Some(field.world.org),
        id: field.world.id(),
        policy: Some(field.policy),
        scope: Scope::Organization(countersign_trust::text::Nothing),
        made: Time(now().0),
        reason: word("The server is in the wrong hands."),
        advisory: word(""),
    };
    sign(&halt, &["bo"])
}

/// Hands a halt to all beacons at once, while each is asked for Clears the whole time: from its acknowledgement on, no Clear without
/// the halt is to leave a beacon.
pub fn hand_over(field: &Field, signed: &Signed, who: &str, story: &mut Story) -> Handed {
    let (hash, stop) = (signed.hash(), Arc::new(AtomicBool::new(false)));
    let addresses: Vec<_> = field.world.beacons.iter().map(|beacon| beacon.address).collect();
    let watched: Vec<_> =
        addresses.iter().map(|address| Watched::new(field, *address, hash, &stop)).collect();
    until("each beacon is asked", || watched.iter().all(|one| one.count(|_| true) >= ENOUGH).then_some(()));
    let began = Instant::now();
    let hand = |address| {
        let (http, body) = (Http { address, token: String::new() }, signed.to_string());
        let path = field.world.path("halts");
        field.runtime.spawn(async move {
            let (status, said) = http.ask("POST", &path, body).await;
            assert_eq!(status, 200, "{said}");
            Instant::now()
        })
    };
    let handed: Vec<_> = addresses.iter().map(|address| hand(*address)).collect();
    let mut acknowledged: Vec<Instant> =
        handed.into_iter().map(|one| field.world.block_on(one).unwrap()).collect();
    let (mut last, mut asked, mut before) = (began, 0, 0);
    for (one, acknowledged) in watched.iter().zip(&acknowledged) {
        until("it is asked after that, too", || {
            (one.count(|seen| seen.asked > *acknowledged) >= ENOUGH).then_some(())
        });
        for Seen { asked: at, came, names } in one.0.lock().unwrap().iter() {
            assert!(*names || at < acknowledged, "a Clear without the halt left after its acknowledgement");
            asked += 1;
            if !names {
                (last, before) = (last.max(*came), before + 1);
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(before > 0 && before < asked, "{before} of {asked} Clears without the halt: nothing was seen");
    acknowledged.sort();
    story.holds(format!(
        "{who}: all four beacons have it on disk and say so. Of {asked} Clears that were asked of them meanwhile, the {before} without it had all been asked for before their beacon's acknowledgement."
    ));
    story.measured(
        format!("from the key until {SETS} of 4 beacons had acknowledged it, which sets it"),
        acknowledged[SETS - 1] - began,
    );
    story.measured("from the key until the last Clear without it had left any beacon", last - began);
    Handed { hash, began }
}

/// What one beacon answers, as long as it is asked.
struct Watched(Arc<Mutex<Vec<Seen>>>);

impl Watched {
    fn new(field: &Field, address: SocketAddr, halt: Sha256, stop: &Arc<AtomicBool>) -> Self {
        let (seen, http) = (Arc::new(Mutex::new(Vec::new())), Http { address, token: String::new() });
        let (stop, told, path) = (stop.clone(), seen.clone(), field.world.path("clear"));
        drop(field.runtime.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let (status, said) = http.ask("POST", &path, format!("{}\n", Sha256([7; 32]))).await;
                assert_eq!(status, 200, "{said}");
                let clear: Clear = said.parse::<Note>().unwrap().text().parse().unwrap();
                let names = clear.halts.contains(&halt);
                told.lock().unwrap().push(Seen { asked, came: Instant::now(), names });
            }
        }));
        Self(seen)
    }

    fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|seen| wanted(seen)).count()
    }
}
