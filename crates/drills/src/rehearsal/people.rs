//! What people decide and sign, and how it gets to where it counts.

use countersign_trust::chain::{Chain, Inclusion};
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, OrgId, Sha256, StatementId};
use countersign_trust::join::{Join, join_leaf};
use countersign_trust::ledger::Record;
use countersign_trust::merkle::{EMPTY_ROOT, Tree, leaf_hash};
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::enroll::{Batch, Device, Enroll, What};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::job::{Job, OnHalt, TargetList, Targets};
use countersign_trust::statement::policy::{Log as LogEntry, Policy};
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::time::Time;

use super::World;
use super::log::Log;
use super::machine::Machine;
use super::mailman::Posted;
use super::wire::{Parcel, Who};
use crate::organization::{device_signer, genesis_policy, labels, note_key, script, sign, word};

/// The genesis policy, signed by Anna and Bo.
pub fn genesis(edit: fn(&mut Policy)) -> (Policy, Signed) {
    let mut policy = genesis_policy();
    edit(&mut policy);
    let signed = sign(&policy, &["anna", "bo"]);
    (policy, signed)
}

/// The chain that begins with it.
pub fn begin(org: OrgId, genesis: &Logged) -> Chain {
    Chain::begin(org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap()
}

impl World {
    /// A fresh id.
    pub fn id(&mut self) -> StatementId {
        self.serial += 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&self.serial.to_be_bytes());
        StatementId(id)
    }

    /// So many machines join by a token, and are switched on and connected.
    pub fn enroll(&mut self, count: usize) {
        let enroll = self.batch_of(count);
        for _ in 0..count {
            let name = format!("till-{:02}", self.machines.len() + 1);
            let records = self.join(&enroll, &name);
            self.machines.push(Machine::new(&name, &records));
            self.switch_on(self.machines.len() - 1);
        }
    }

    /// A batch for so many tills, signed by Anna and Bo and logged.
    pub fn batch_of(&mut self, count: usize) -> Logged {
        let batch = Batch {
            token: note_key("token").verifier().clone(),
            site: word("Smygehamn"),
            labels: labels(&[("class", "till"), ("region", "south")]),
            count: u64::try_from(count).unwrap(),
            until: self.now().plus(3_600),
        };
        let enroll = Enroll { org: self.org, id: self.id(), what: What::Batch(batch) };
        self.logged(sign(&enroll, &["anna", "bo"]))
    }

    /// What is on the disk of a machine that joined a batch.
    pub fn join(&mut self, enroll: &Logged, name: &str) -> Vec<Record> {
        let signer = device_signer(name);
        let (batch, device) = (enroll.signed.hash(), signer.verifier().clone());
        let text = Join { org: self.org, batch, device, host_key: word("") }.to_string();
        let mut join = signer.note(text).unwrap();
        join.add(note_key("token").sign(join.text()).unwrap()).unwrap();
        let index = self.log_entry(&join_leaf(&self.org, &join));
        let proof = self.mailman.log.proof(index);
        let began = Record::Began { org: self.org, genesis: self.genesis.clone() };
        let news = self.mailman.news.iter().cloned().map(Record::News);
        let enrolled = Record::Enrolled { enroll: enroll.clone(), join: Some((join, proof)) };
        std::iter::once(began).chain(news).chain([enrolled]).collect()
    }

    /// A machine is switched on and reaches its server.
    pub fn switch_on(&mut self, index: usize) {
        self.machines[index].switch_on(self.now_ms);
        self.hear(index, countersign_trust::device::Input::Started);
        self.connect(index);
    }

    /// A machine's power goes.
    pub fn switch_off(&mut self, index: usize) {
        let name = self.machines[index].name.clone();
        self.tell(&name, "is switched off");
        self.machines[index].switch_off();
    }

    /// A machine reaches its server.
    pub fn connect(&mut self, index: usize) {
        use prost::Message as _;
        self.machines[index].connected = true;
        let hello = self.machines[index].hello().encode_to_vec();
        self.send(Who::Machine(index), Who::Server, Parcel::Up(hello));
        self.hear(index, countersign_trust::device::Input::Connected);
    }

    /// A machine loses its server, and reaches it again at once.
    pub fn cut_off(&mut self, index: usize, why: &str) {
        let name = self.machines[index].name.clone();
        self.tell(&name, format!("closes the connection: {why}"));
        self.machines[index].connected = false;
        self.hear(index, countersign_trust::device::Input::Disconnected);
        self.connect(index);
    }

    /// A signed statement with its place in the log.
    pub fn logged(&mut self, signed: Signed) -> Logged {
        let index = self.log_entry(&signed.leaf(&self.org).unwrap());
        Logged { proof: self.mailman.log.proof(index), signed }
    }

    /// The ids of these machines, as a job's targets go.
    pub fn ids(&self, machines: &[usize]) -> Vec<DeviceId> {
        let mut ids: Vec<DeviceId> = machines.iter().map(|index| self.machines[*index].id).collect();
        ids.sort();
        ids
    }

    /// A job that Anna asks for: one script on these machines, from a minute ago, for a day.
    pub fn job(&mut self, machines: &[usize]) -> Job {
        let ids = self.ids(machines);
        let root = ids.iter().map(|id| leaf_hash(&id.0)).collect::<Tree>().root();
        Job {
            org: self.org,
            id: self.id(),
            requester: word("anna"),
            policy: self.chain.policy().hash,
            resume: self.chain.resume(),
            not_before: Time(self.now().0 - 60),
            not_after: self.now().plus(86_400),
            why: word("The tills print the wrong date."),
            steps: vec![script(&["systemctl restart till"])],
            targets: Targets::List(TargetList { count: u64::try_from(ids.len()).unwrap(), root }),
            waves: Vec::new(),
            on_halt: OnHalt::Kill,
            repeat: 0,
            halt_above: 10_000,
        }
    }

    /// Signs a job, has it logged, and hands it to the server for these machines; its hash.
    pub fn post(&mut self, job: &Job, keys: &[&str], machines: &[usize]) -> Sha256 {
        let targets = match &job.targets {
            Targets::List(_) => self.ids(machines),
            Targets::Labels(_) => Vec::new(),
        };
        let signed = sign(job, keys);
        let hash = signed.hash();
        let index = self.log_entry(&signed.leaf(&self.org).unwrap());
        self.mailman.jobs.insert(hash, Posted { signed, index, targets, machines: machines.to_vec() });
        hash
    }

    /// A job that Anna asks for and Bo approves, brought by the server.
    pub fn order(&mut self, job: &Job, machines: &[usize]) -> Sha256 {
        let hash = self.post(job, &["anna", "bo"], machines);
        self.bring_open(None);
        hash
    }

    /// An ordinary job on these machines, by this name in the story.
    pub fn ordinary(&mut self, machines: &[usize], name: &str) -> Sha256 {
        let job = self.job(machines);
        let hash = self.order(&job, machines);
        self.story.call(hash, name);
        hash
    }

    /// The policy that would follow the newest.
    pub fn next_policy(&self) -> Policy {
        self.chain.next_policy()
    }

    /// The next policy, signed by Anna and Bo, logged and taken; nobody else has it yet.
    pub fn decide(&mut self, edit: impl FnOnce(&mut Policy)) -> News {
        self.decide_by(&["anna", "bo"], edit)
    }

    /// The same, signed by these.
    pub fn decide_by(&mut self, keys: &[&str], edit: impl FnOnce(&mut Policy)) -> News {
        let mut next = self.next_policy();
        edit(&mut next);
        let signed = sign(&next, keys);
        self.witnesses.iter_mut().for_each(|witness| witness.take_policies(self.org, &[&signed]));
        let news = News::Policy(self.logged(signed));
        self.take(news)
    }

    /// Goes on in a new log, by policy; returns the old log and the policy.
    pub fn move_log(&mut self, origin: &str) -> (Log, News) {
        let (old_size, old_root) = (self.mailman.log.tree.size(), Some(self.mailman.log.tree.root()));
        self.move_log_from(origin, old_size, old_root)
    }

    /// The same where nobody has the old log any more: so much of it counts as people know.
    pub fn move_log_from(&mut self, origin: &str, old_size: u64, old_root: Option<Sha256>) -> (Log, News) {
        let old = std::mem::replace(&mut self.mailman.log, Log::empty(origin));
        let key = note_key(origin).verifier().clone();
        let news = self.decide(|policy| policy.log = LogEntry { key, old_size, old_root });
        (old, news)
    }

    /// The resume that would follow the newest.
    pub fn next_resume(&self, lifts: Lifts, cuts: Cuts) -> Resume {
        Resume {
            org: self.org,
            policy: self.chain.policy().hash,
            previous: self.chain.resume().into_iter().collect(),
            lifts,
            cuts,
            keeps: std::collections::BTreeSet::new(),
            why: word("It is over."),
        }
    }

    /// The next resume, signed by Anna and Bo, logged and taken; nobody else has it yet.
    pub fn resume(&mut self, lifts: Lifts, cuts: Cuts) -> News {
        self.resume_by(&["anna", "bo"], lifts, cuts)
    }

    /// The same, signed by these.
    pub fn resume_by(&mut self, keys: &[&str], lifts: Lifts, cuts: Cuts) -> News {
        let resume = self.next_resume(lifts, cuts);
        let news = News::Resume(self.logged(sign(&resume, keys)));
        self.take(news)
    }

    /// A halt by one key; nobody else has it yet.
    pub fn halt(&mut self, scope: Scope, key: &str) -> News {
        let halt = Halt {
            org: Some(self.org),
            id: self.id(),
            policy: Some(self.chain.policy().hash),
            scope,
            made: self.now(),
            reason: word("Something is wrong."),
            advisory: word(""),
        };
        self.take(News::Halt(sign(&halt, &[key])))
    }

    fn take(&mut self, news: News) -> News {
        news.offer(&mut self.chain).unwrap();
        news
    }

    /// Enrolls a machine anew, with these labels, signed by these and logged.
    pub fn enroll_anew(&mut self, machine: usize, pairs: &[(&str, &str)], keys: &[&str]) -> News {
        let held = self.machines[machine].device().ledger().enrolled().unwrap().clone();
        let device = Device {
            key: held.key,
            host_key: word(""),
            site: word("Smygehamn"),
            labels: labels(pairs),
            seq: held.seq + 1,
            previous: Some(held.enroll),
        };
        let enroll = Enroll { org: self.org, id: self.id(), what: What::Device(device) };
        News::Enroll(self.logged(sign(&enroll, keys)))
    }

    /// Lets a wave of a job begin, signed by these and logged.
    pub fn advance(&mut self, job: Sha256, wave: u64, keys: &[&str]) {
        let advance = Advance {
            org: self.org,
            id: self.id(),
            policy: self.chain.policy().hash,
            resume: self.chain.resume(),
            job,
            wave,
            root: EMPTY_ROOT,
            well: 1,
            failed: 0,
            missing: 0,
            why: word("The first wave looks well."),
        };
        let signed = sign(&advance, keys);
        let index = self.log_entry(&signed.leaf(&self.org).unwrap());
        self.mailman.advances.push((job, signed, index));
    }

    /// Hands a halt to these beacons, which acknowledge it.
    pub fn halt_at(&mut self, halt: &News, beacons: &[usize]) {
        for beacon in beacons {
            self.send(Who::People, Who::Beacon(*beacon), Parcel::Halt(halt.to_string()));
        }
    }

    /// Hands news to these beacons.
    pub fn tell_beacons(&mut self, news: &News, beacons: &[usize]) {
        for beacon in beacons {
            self.send(Who::People, Who::Beacon(*beacon), Parcel::News(write_sequence(&[news])));
        }
    }

    /// Hands news to the server.
    pub fn tell_server(&mut self, news: &News) {
        self.send(Who::People, Who::Server, Parcel::News(write_sequence(&[news])));
    }

    /// Hands news to everybody.
    pub fn tell_all(&mut self, news: &News) {
        let all: Vec<usize> = (0..self.beacons.len()).collect();
        match news {
            News::Halt(_) => self.halt_at(news, &all),
            _ => self.tell_beacons(news, &all),
        }
        self.tell_server(news);
    }
}
