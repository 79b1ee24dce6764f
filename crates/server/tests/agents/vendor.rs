//! A vendor's feed: what is wrong with one is said, what is good in it is taken, and what it comes to each policy says.

use std::collections::BTreeMap;

use countersign_server::config::{Report, Vendor};
use countersign_trust::clear::Clear;
use countersign_trust::envelope::Signed;
use countersign_trust::feed::{Index, NAMESPACE};
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::note::Note;
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::policy::VendorHalts;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;
use countersign_wire::http::{DeliveryEvidence, FollowerReport, FollowerView, VendorView};

use crate::agent::Agent;
use crate::http::Http;
use crate::organization::{sign, ssh_key, word};
use crate::static_files::{Reply, StaticFiles};
use crate::world::{World, now, until};

fn component(name: &str, below: &str) -> Scope {
    Scope::Component(Component { name: word(name), below: word(below) })
}

fn vendor_halt(number: u8) -> Signed {
    let halt = Halt {
        org: None,
        id: StatementId([number; 16]),
        policy: None,
        scope: component("countersign-agent", "9.0.0"),
        made: now(),
        reason: word("Anybody on the network can run code as the agent."),
        advisory: word("CS-2026-01"),
    };
    sign(&halt, &["vendor"])
}

/// An index that names these halts, and its hash.
fn index(by: &str, sequence: u64, previous: Option<Sha256>, halts: &[&Signed]) -> (String, Sha256) {
    let halts = halts.iter().map(|halt| halt.hash()).collect();
    let text = Index { sequence, previous, made: now(), halts, advisories: BTreeMap::new() }.text();
    let hash = Sha256::of(text.as_bytes());
    (text.clone() + &ssh_key(by).sign(NAMESPACE, text.as_bytes()).unwrap().to_armor(), hash)
}

async fn web() -> (StaticFiles, Vendor) {
    let web = StaticFiles::start(&countersign_server::tls::make("localhost").unwrap()).await;
    let vendor = Vendor {
        keys: [ssh_key("vendor").public_key().clone()].into(),
        feeds: vec![format!("{}/feed", web.url())],
        interval: 1.try_into().unwrap(),
        report: None,
    };
    (web, vendor)
}

async fn says(world: &World, what: &str) {
    until(&format!("the server says `{what}`"), async || {
        let view: VendorView = world.get("vendor").await;
        let trouble = &view.feeds.first().map(|feed| feed.trouble.clone()).unwrap_or_default();
        if what.is_empty() { trouble.is_empty() } else { trouble.contains(what) }
    })
    .await;
}

fn publish(web: &StaticFiles, index: &str, halts: &[&Signed]) {
    halts.iter().for_each(|halt| web.file(&format!("/feed/halts/{}", halt.hash()), halt));
    web.file("/feed/index", index);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendors_halt_comes_to_what_the_policy_says_and_changes_with_it() {
    let (web, vendor) = web().await;
    let halt = vendor_halt(1);
    publish(&web, &index("vendor", 1, None, &[&halt]).0, &[&halt]);
    let ask = |policy: &mut countersign_trust::statement::policy::Policy| {
        policy.vendor.halts = VendorHalts::Ask;
    };
    let world = World::following(vendor, ask).await;
    says(&world, "").await;
    until("the halt waits for an answer", async || {
        let view: VendorView = world.get("vendor").await;
        view.halts.first().is_some_and(|halt| halt.comes_to == "asks" && halt.why.contains("`ask`"))
    })
    .await;
    assert_eq!(world.view().await.halts, [""; 0]);
    // What people decide later holds for the halt that was there before.
    world.decide(|next| next.vendor.halts = VendorHalts::Auto).await;
    let hash = halt.hash().to_string();
    until("the halt stops the organization", async || world.view().await.halts == [hash.clone()]).await;
    let view: VendorView = world.get("vendor").await;
    assert_eq!((view.halts[0].comes_to.as_str(), view.halts[0].why.as_str()), ("stops", ""));
    assert_eq!(Signed::from_text(&view.halts[0].envelope).unwrap(), halt);
    // Without a token nobody sees it, and this server serves no feed.
    let anybody = Http { server: world.server.address, token: "none".to_owned() };
    assert_eq!(anybody.refused("GET", &format!("/v1/orgs/{}/vendor", world.org), "").await.status, 401);
    assert_eq!(anybody.refused("GET", "/v1/feed/index", "").await.code, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_a_halt_means_brings_no_job_until_it_is_lifted() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    world.until_connected(1).await;
    let halt = world.halt(component("countersign-server", "9.0.0")).await;
    let view: VendorView = world.get("vendor").await;
    assert_eq!(view.server_stopped_by, Some(halt.to_string()));
    let job = world.order(&world.job(&[till.id()]), &[till.id()]).await;
    assert_eq!(world.on(&job, &till.id()).await.verdict, "waiting");
    let resume = Resume {
        org: world.org,
        policy: Sha256(world.org.0),
        previous: [].into(),
        lifts: Lifts::Halts([halt].into()),
        cuts: Cuts::None(Nothing),
        keeps: [].into(),
        why: word("The server is a newer one."),
    };
    let resume = world.log(&sign(&resume, &["anna", "bo"]), &[]).await;
    until("the job ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;
    assert_eq!(till.mind().verdicts(), ["accepted", "ended exit 0"]);
    let sent: DeliveryEvidence = world.get(&format!("jobs/{job}/deliveries/{}", till.id())).await;
    let clear: Clear = sent.clears[0].note.parse::<Note>().unwrap().text().parse().unwrap();
    assert_eq!(clear.resume, Some(resume), "it was sent for the first time after that");
    // A halt of other programs is nothing to this one.
    world.halt(component("countersign-beacon", "9.0.0")).await;
    let view: VendorView = world.get("vendor").await;
    assert_eq!(view.server_stopped_by, None);
    let _: &Agent = &till;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_served_holds_who_knows_the_index_and_shows_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("halts")).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let world = World::serving(folder.path()).await;
    let anybody = Http { server: world.server.address, token: "none".to_owned() };
    assert_eq!(anybody.refused("GET", "/v1/feed/index", "").await.code, "not_found");
    let (first, hash) = index("vendor", 1, None, &[]);
    std::fs::write(folder.path().join("index"), &first).unwrap();
    until("it is served", async || anybody.raw("GET", "/v1/feed/index", "").await.2 == first.as_bytes())
        .await;
    let halt = vendor_halt(1);
    let (second, _) = index("vendor", 2, Some(hash), &[&halt]);
    let asked = anybody.raw("GET", "/v1/feed/index?after=1", "");
    let published = async {
        std::fs::write(folder.path().join(format!("halts/{}", halt.hash())), halt.to_string()).unwrap();
        std::fs::write(folder.path().join("new"), &second).unwrap();
        std::fs::rename(folder.path().join("new"), folder.path().join("index")).unwrap();
    };
    let (answered, ()) = tokio::join!(asked, published);
    assert_eq!(
        (answered.0, answered.2.as_slice()),
        (200, second.as_bytes()),
        "the next index, not the first"
    );
    let halts = anybody.raw("GET", &format!("/v1/feed/halts/{}", halt.hash()), "").await;
    assert_eq!(halts.2, halt.to_string().as_bytes());
    for path in
        ["secret", "halts/..%2fsecret", "advisories/..%2fsecret", "halts/x", "", "advisories/none.json"]
    {
        assert_eq!(anybody.raw("GET", &format!("/v1/feed/{path}"), "").await.0, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_agrees_reports_counts_to_the_vendor_and_who_never_did_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let token = "what the vendor gave Stores";
    let followers = [("quiet", "another"), ("stores", token)];
    let followers = followers.map(|(name, token)| (word(name), Sha256::of(token.as_bytes()))).into();
    let hosted = World::serving_to(folder.path(), followers).await;
    let url = format!("https://{}/v1/feed/reports", hosted.server.address);
    let (web, mut vendor) = web().await;
    vendor.report = Some(Report { url: url.clone(), token: token.to_owned() });
    let halt = vendor_halt(1);
    publish(&web, &index("vendor", 7, None, &[&halt]).0, &[&halt]);
    let stores = World::following(vendor, |_| ()).await;
    let setup = hosted.setup_token();
    let seen = async || setup.get::<Vec<FollowerView>>("/v1/feed/followers").await;
    // The first report may tell of an index whose halts are not taken yet.
    let has_stopped =
        |follower: &FollowerView| follower.report.as_ref().is_some_and(|report| report.stopped > 0);
    until("Stores has reported", async || seen().await.iter().any(has_stopped)).await;
    let seen = seen().await;
    assert_eq!(seen.iter().map(|follower| follower.name.as_str()).collect::<Vec<_>>(), ["quiet", "stores"]);
    assert_eq!((seen[0].heard, &seen[0].report), (0, &None));
    let report = seen[1].report.as_ref().unwrap();
    assert_eq!((report.sequence, report.stopped), (7, 1));
    // Nobody else reports or looks.
    let body = serde_json::to_string(&FollowerReport::default()).unwrap();
    for token in ["none", &hosted.http.token, &setup.token] {
        let other = Http { server: hosted.server.address, token: token.to_owned() };
        assert_eq!(other.refused("POST", "/v1/feed/reports", &body).await.code, "unauthorized", "{token}");
    }
    assert_eq!(hosted.http.refused("GET", "/v1/feed/followers", "").await.code, "unauthorized");
    drop(stores);
}

mod long {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_with_a_feed_is_said_and_the_good_halts_in_it_are_taken() {
        let (web, vendor) = web().await;
        let world = World::following(vendor, |_| ()).await;
        says(&world, "status 404").await;
        web.put("/feed/index", Reply::Status(503));
        says(&world, "status 503").await;
        web.file("/feed/index", "<html>nothing here</html>");
        says(&world, "no index").await;
        web.put("/feed/index", Reply::Endless);
        says(&world, "length limit exceeded").await;
        web.file("/feed/index", "x".repeat(70_000));
        says(&world, "length limit exceeded").await;
        web.file("/feed/index", &index("mallory", 9, None, &[&vendor_halt(9)]).0);
        says(&world, "none of the keys").await;
        let (good, bad, gone) = (vendor_halt(1), vendor_halt(2), vendor_halt(3));
        let (second, hash) = index("vendor", 2, None, &[&good, &bad, &gone]);
        web.file(&format!("/feed/halts/{}", bad.hash()), "no halt");
        publish(&web, &second, &[&good]);
        says(&world, "halt ").await;
        let stopped = async |world: &World| world.view().await.halts;
        until("the good one is taken", async || stopped(&world).await == [good.hash().to_string()]).await;
        publish(&web, &index("vendor", 1, None, &[]).0, &[]);
        says(&world, "ROLLED BACK: the index has number 1, number 2 was seen before").await;
        publish(&web, &index("vendor", 2, None, &[]).0, &[]);
        says(&world, "FORKED").await;
        // A server that starts anew knows what it has seen.
        let world = world.restart().await;
        says(&world, "FORKED").await;
        assert_eq!(stopped(&world).await, [good.hash().to_string()]);
        // A halt that the vendor withdraws stays with whoever has it.
        publish(&web, &index("vendor", 3, Some(hash), &[]).0, &[]);
        says(&world, "").await;
        assert_eq!(stopped(&world).await, [good.hash().to_string()]);
    }
}
