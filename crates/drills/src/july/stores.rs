//! An invented co-operative: 800 stores in Sweden's 21 counties, their registers in a swarm, and a few with a whole agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use countersign_agent::enroll::device_signer;
use countersign_swarm::cast;
use countersign_swarm::swarm::{Conduct, Plan as SwarmPlan, Swarm};
use countersign_trust::ids::{DeviceId, Name, Sha256};
use countersign_trust::note::VerifierKey;
use countersign_trust::statement::policy::{Hours, Policy, Rule};
use countersign_wire::http::{DeviceView, Page};
use countersign_wire::token::Token;
use tokio::runtime::{Builder, Runtime};

use super::Plan;
use super::story::{Story, thousands};
use crate::organization::{labels, names, word};
use crate::part::{Shift, Stage, reading, until_within};
use crate::world::World;

/// The swarm's seed.
const SEED: u64 = 2021;
/// The county that is first in every job that goes in waves.
pub const FIRST_COUNTY: &str = "norrbotten";
/// When markets may be worked on: Tuesdays until 05:00, in minutes of the week.
const NIGHT: Hours = Hours { from: 24 * 60, until: 29 * 60 };

/// A store: what all its registers have in common.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its name.
    pub site: String,
    /// Where it is.
    pub county: &'static str,
    /// What the co-operative calls its size.
    pub size: &'static str,
    kind: &'static str,
}

/// A register: one of the swarm, or one with a whole agent.
#[derive(Clone, Debug)]
pub struct Register {
    /// Its device.
    pub id: DeviceId,
    /// What it signs with.
    pub key: VerifierKey,
    /// In which store it stands.
    pub store: Store,
    /// Whether it has a whole agent, which runs what it runs.
    pub real: bool,
}

/// All of it.
pub struct Field {
    /// The organization, its server, beacons, witnesses and agents.
    pub world: World,
    /// The swarm.
    pub swarm: Swarm,
    /// All registers, by device.
    pub registers: BTreeMap<DeviceId, Register>,
    /// The newest policy.
    pub policy: Sha256,
    /// The newest resume.
    pub resume: Option<Sha256>,
    /// Where the swarm lives.
    pub runtime: Runtime,
}

/// The `number`th store.
fn store(number: u64) -> Store {
    let cast::Site { name, size, .. } = cast::site(SEED, number);
    let kind = if number.is_multiple_of(3) { "selfscan" } else { "till" };
    Store { site: name, county: cast::county(number), size, kind }
}

impl Store {
    fn labels(&self) -> [(&str, &str); 3] {
        [("county", self.county), ("kind", self.kind), ("size", self.size)]
    }

    /// All that the organization says of a register there.
    pub fn all_labels(&self) -> BTreeMap<Name, Name> {
        labels(&[&self.labels()[..], &[("site", self.site.as_str())]].concat())
    }

    /// Whether it has hours outside of which nothing is changed.
    pub fn is_market(&self) -> bool {
        self.size == "market"
    }
}

fn edit(policy: &mut Policy) {
    policy.name = word("Invented Co-operative");
    let night = Rule { labels: labels(&[("size", "market")]), hours: vec![NIGHT], ..policy.rules[0].clone() };
    policy.rules.push(night);
    policy.guarded = names(&["agent", "antivirus"]);
    // So that people have to let each wave begin in the small form, too.
    policy.limits.auto_waves_max = 10;
}

impl Field {
    /// Programs come up, and nobody has joined.
    pub fn new() -> Self {
        let world = World::set_up_with(Stage::Processes, |_| (), edit);
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let policy = Sha256(world.org.0);
        let swarm = Swarm::new(SwarmPlan::new(Vec::new())).unwrap();
        Self { world, swarm, registers: BTreeMap::new(), policy, resume: None, runtime }
    }

    /// Every store gets a token, every register joins, and a few whole agents do.
    pub fn join(&mut self, plan: &Plan, story: &mut Story) {
        let stores: Vec<Store> = (0..plan.stores).map(store).collect();
        let each = usize::try_from(plan.registers.div_ceil(plan.stores)).unwrap() + 2;
        let began = Instant::now();
        let tokens = self.tokens(&stores, each);
        story.measured(
            format!(
                "until {} enrollment tokens, one a store, are signed by two people and logged",
                tokens.len()
            ),
            began.elapsed(),
        );
        let conduct = Conduct {
            takes: Duration::from_millis(100),
            says: Some("done\n".to_owned()),
            asks_beacons: true,
            tick: Duration::from_secs(2),
            clock: reading,
        };
        let began = Instant::now();
        self.swarm = Swarm::new(SwarmPlan { seed: SEED, conduct, ..SwarmPlan::new(tokens.clone()) }).unwrap();
        let inside = self.runtime.enter();
        self.swarm.grow(plan.registers);
        drop(inside);
        self.until_joined(plan.registers, story);
        story.measured(format!("until {} registers have joined", thousands(plan.registers)), began.elapsed());
        let agents = agents_stores(&stores, plan.agents);
        agents.iter().for_each(|number| self.world.join_by(&tokens[*number]));
        self.until_all_connected();
        self.know(&stores, &agents);
    }

    fn tokens(&self, stores: &[Store], each: usize) -> Vec<Token> {
        let made: Vec<_> =
            stores.iter().map(|store| self.world.batch_for(&store.site, &store.labels(), each)).collect();
        for (batch, _) in &made {
            assert_eq!(self.world.post(batch, &[]).unwrap().missing, "");
        }
        for (batch, _) in &made {
            until_within(Duration::from_secs(120), Duration::from_millis(50), "a token is logged", || {
                (self.world.statement(&batch.hash()).state == "logged").then_some(())
            });
        }
        made.into_iter().map(|(_, token)| token).collect()
    }

    fn until_joined(&self, wanted: u64, story: &Story) {
        let mut told = 0;
        until_within(Duration::from_secs(900), Duration::from_millis(200), "all have joined", || {
            let joined = self.swarm.counts().joined.load(Relaxed);
            if joined >= told + (wanted / 15).max(1) {
                told = joined;
                story.progress(format!("{} of {} joined", thousands(joined), thousands(wanted)));
            }
            if let Some(why) = self.swarm.take_failure() {
                story.progress(format!("a connection failed: {why}"));
            }
            (joined == wanted).then_some(())
        });
    }

    /// Waits until the server holds a connection to every register.
    pub fn until_all_connected(&self) {
        let all = u64::try_from(self.swarm.size() + self.world.machines.len()).unwrap();
        until_within(Duration::from_secs(300), Duration::from_millis(300), "all are connected", || {
            let path = format!("/v1/orgs/{}", self.world.org);
            let view: countersign_wire::http::OrgView = self.world.block_on(self.world.http.get(&path));
            (view.connected == all).then_some(())
        });
    }

    /// Who stands where. A register of the swarm says its store in its name, as its enrollment has it.
    fn know(&mut self, stores: &[Store], agents: &[usize]) {
        let by_site: BTreeMap<&str, &Store> =
            stores.iter().map(|store| (store.site.as_str(), store)).collect();
        let hostnames = self.hostnames();
        for place in 0..u64::try_from(self.swarm.size()).unwrap() {
            let signer = device_signer(&self.swarm.machine(place).seed).unwrap();
            let (id, key) = (DeviceId::of_key(signer.verifier().raw()), signer.verifier().clone());
            let site: Vec<&str> = hostnames[&id].splitn(3, '-').take(2).collect();
            let store = by_site[site.join("-").as_str()].clone();
            self.registers.insert(id, Register { id, key, store, real: false });
        }
        for (machine, store) in self.world.machines.iter().zip(agents) {
            let (id, key) = (machine.id, machine.key.clone());
            self.registers.insert(id, Register { id, key, store: stores[*store].clone(), real: true });
        }
    }

    fn hostnames(&self) -> BTreeMap<DeviceId, String> {
        let (mut names, mut rest) = (BTreeMap::new(), "devices?limit=1000".to_owned());
        loop {
            let path = self.world.path(&rest);
            let page: Page<DeviceView> = self.world.block_on(self.world.http.get(&path));
            names.extend(page.items.into_iter().map(|row| (row.device.parse().unwrap(), row.hostname)));
            let Some(next) = page.next else { return names };
            rest = format!("devices?limit=1000&after={next}");
        }
    }

    /// What there is, in words.
    pub fn words(&self) -> String {
        let distinct =
            |of: &dyn Fn(&Register) -> String| self.registers.values().map(of).collect::<BTreeSet<_>>().len();
        let (sites, counties) =
            (distinct(&|one| one.store.site.clone()), distinct(&|one| one.store.county.to_owned()));
        let real = self.those(|one| one.real).len();
        format!(
            "{} registers in {} stores of {counties} counties are connected: {} simulated, {real} with a whole agent. Anna, Bo and Cia decide: any two of them.",
            thousands(self.registers.len().try_into().unwrap()),
            thousands(sites.try_into().unwrap()),
            thousands(u64::try_from(self.registers.len() - real).unwrap()),
        )
    }

    /// Those of the registers, by device.
    pub fn those(&self, wanted: impl Fn(&Register) -> bool) -> Vec<DeviceId> {
        self.registers.values().filter(|register| wanted(register)).map(|register| register.id).collect()
    }

    /// Lets time pass to this moment, by everybody's clocks.
    pub fn clock_to(&mut self, time: u64) {
        let ahead = (time * 1_000).saturating_sub(crate::part::now_ms());
        self.pass(Duration::from_millis(ahead));
    }

    /// Lets so much time pass.
    pub fn pass(&mut self, time: Duration) {
        let (shift, ms) = (Shift::now(), u64::try_from(time.as_millis()).unwrap());
        let later = Shift {
            wall_ms: shift.wall_ms.saturating_add_unsigned(ms),
            boot_ms: shift.boot_ms.saturating_add(ms),
        };
        self.world.set_clock(later);
    }
}

/// Stores with a whole agent: of the first county, of others, and a market.
fn agents_stores(stores: &[Store], count: usize) -> Vec<usize> {
    let find = |wanted: &dyn Fn(&Store) -> bool| stores.iter().position(wanted);
    let wanted: [&dyn Fn(&Store) -> bool; 4] = [
        &|store| store.county == FIRST_COUNTY && !store.is_market(),
        &|store| store.county == "vasterbotten" && !store.is_market(),
        &|store| store.is_market(),
        &|store| store.county == "jamtland" && !store.is_market(),
    ];
    (0..count).filter_map(|number| find(wanted[number % wanted.len()])).collect()
}

/// A label's word, for waves.
pub fn first_county() -> BTreeMap<Name, Name> {
    labels(&[("county", FIRST_COUNTY)])
}
