//! An agent whose mind is `trust`'s device and whose hands are tied: it answers every step it agrees to run with an end.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_trust::delivery::News;
use countersign_trust::device::{Device, Ending, Input, Moment, Output};
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::join::Join;
use countersign_trust::ledger::{Ledger, Record, StepKey};
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_trust::time::Reading;
use countersign_wire::frame::encode;
use countersign_wire::message::{
    self, FromAgent, Hello, Joined, StepOutput, from_agent, from_server, read_news,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::organization::{VERSION, device_signer, note_key, word};
use crate::wire::Wire;

/// What every step of a job says before it ends.
pub const SAID: &[u8] = b"hello\n";

/// What an agent has lived through.
pub struct Mind {
    /// Decides.
    pub device: Device,
    /// Steps it agreed to run, in their order.
    pub ran: Vec<StepKey>,
    /// Steps it was told to kill.
    pub killed: Vec<StepKey>,
    /// Every receipt it made.
    pub receipts: Vec<Note>,
    /// News it was brought outside of deliveries.
    pub news: Vec<News>,
    /// Deliveries it was brought.
    pub delivered: usize,
    /// The server's last word.
    pub sorry: Option<String>,
    /// Whether steps go on until they are killed.
    pub holds: bool,
    /// How those end that do not go on.
    pub ends: &'static str,
    /// Hashes of canaries' notes that the server says to have kept.
    pub kept: Vec<Vec<u8>>,
    /// The name of its last Hello; 0 before the first.
    pub said: u64,
    /// How far its clocks are ahead, in milliseconds.
    pub ahead_ms: u64,
    came_up: Instant,
}

/// An agent, connected or not.
pub struct Agent {
    /// Its name in these tests.
    pub name: String,
    /// Where it finds the server.
    pub server: SocketAddr,
    /// From which address of this machine it connects.
    pub from: [u8; 4],
    org: OrgId,
    mind: Arc<Mutex<Mind>>,
    connection: Option<(JoinHandle<()>, mpsc::UnboundedSender<Vec<u8>>)>,
}

/// The seed of a device's key, as `device_signer` has it.
pub fn seed(name: &str) -> [u8; 32] {
    Sha256::of(name.as_bytes()).0
}

/// A device's wish to join, signed by its key and by the token's.
pub fn wish(org: OrgId, batch: Sha256, name: &str) -> Note {
    let signer = device_signer(name);
    let join = Join { org, batch, device: signer.verifier().clone(), host_key: word("") };
    let mut note = signer.note(join.to_string()).unwrap();
    note.add(note_key("token").sign(note.text()).unwrap()).unwrap();
    note
}

/// Asks the server to take this wish.
pub async fn ask_to_join(server: SocketAddr, name: &str, note: &Note) -> Result<Joined, String> {
    let mut wire = Wire::connect(server, &seed(name)).await;
    wire.send(from_agent::What::Join(message::Join { note: note.to_string() })).await;
    let mut history = Vec::new();
    loop {
        match wire.next().await {
            Some(from_server::What::News(news)) => history.extend(news.envelopes),
            Some(from_server::What::Joined(mut joined)) => {
                joined.chain.append(&mut history);
                return Ok(joined);
            }
            Some(from_server::What::Sorry(sorry)) => return Err(sorry.why),
            other => panic!("{other:?}"),
        }
    }
}

/// What a device that was answered so writes to its disk.
pub fn records(org: OrgId, joined: &Joined, note: &Note) -> Vec<Record> {
    let mut chain = joined.chain.iter();
    let genesis = Logged::from_text(chain.next().unwrap()).unwrap();
    let news = chain.map(|text| Record::News(read_news(text).unwrap()));
    let enroll = Logged::from_text(&joined.enroll).unwrap();
    let join = Some((note.clone(), word(&joined.proof)));
    let enrolled = Record::Enrolled { enroll, join };
    std::iter::once(Record::Began { org, genesis }).chain(news).chain([enrolled]).collect()
}

impl Agent {
    /// Joins the batch and connects.
    pub async fn join(server: SocketAddr, org: OrgId, batch: Sha256, name: &str) -> Self {
        let note = wish(org, batch, name);
        let joined = ask_to_join(server, name, &note).await.unwrap();
        let mut agent = Self::with(server, org, name, &records(org, &joined, &note));
        agent.connect().await;
        agent
    }

    /// An agent that is not connected and has this on its disk.
    pub fn with(server: SocketAddr, org: OrgId, name: &str, records: &[Record]) -> Self {
        let mut ledger = Ledger::default();
        for record in records {
            ledger.apply(&Record::decode(&record.encode()).unwrap()).unwrap();
        }
        let mind = Mind {
            device: Device::new(ledger, device_signer(name), VERSION.to_owned()),
            ran: Vec::new(),
            killed: Vec::new(),
            receipts: Vec::new(),
            news: Vec::new(),
            delivered: 0,
            sorry: None,
            holds: false,
            ends: "exit 0",
            kept: Vec::new(),
            said: 0,
            ahead_ms: 0,
            came_up: Instant::now(),
        };
        let mind = Arc::new(Mutex::new(mind));
        mind.lock().unwrap().hear(Input::Started);
        Self { name: name.to_owned(), server, from: [127, 0, 0, 1], org, mind, connection: None }
    }

    /// Its device's id.
    pub fn id(&self) -> DeviceId {
        DeviceId::of_key(device_signer(&self.name).verifier().raw())
    }

    /// What it has lived through.
    pub fn mind(&self) -> MutexGuard<'_, Mind> {
        self.mind.lock().unwrap()
    }

    /// What it says first.
    pub fn hello(&self) -> Hello {
        let mut mind = self.mind();
        let before = std::mem::replace(&mut mind.said, getrandom::u64().unwrap());
        let chain = mind.device.ledger().chain().unwrap();
        let resumes = chain.resumes().iter().map(|resume| resume.hash.to_string());
        let holds = resumes.chain(chain.halts().map(|halt| halt.hash.to_string())).collect();
        Hello {
            version: VERSION.to_owned(),
            org: self.org.to_string(),
            policy_number: chain.policy().body.number,
            holds,
            hostname: self.name.clone(),
            system: "a test".to_owned(),
            name: mind.said,
            before,
            enroll: mind.device.ledger().enrolled().unwrap().enroll.to_string(),
        }
    }

    /// Connects and goes on by itself.
    pub async fn connect(&mut self) {
        let mut wire = Wire::connect_from(self.from, self.server, &seed(&self.name)).await;
        wire.send(from_agent::What::Hello(self.hello())).await;
        let (frames, to_send) = mpsc::unbounded_channel();
        for frame in self.mind().hear(Input::Connected) {
            frames.send(frame).unwrap();
        }
        let live = live(wire, self.mind.clone(), to_send, frames.clone());
        self.connection = Some((tokio::spawn(live), frames));
    }

    /// Pulls the plug.
    pub async fn disconnect(&mut self) {
        if let Some((task, _)) = self.connection.take() {
            task.abort();
            let _ = task.await;
        }
        self.mind().hear(Input::Disconnected);
    }

    /// Hears something that does not come from the server, and sends what follows from it.
    pub fn hear(&self, input: Input) {
        let frames = self.mind().hear(input);
        for frame in frames {
            self.send(frame);
        }
    }

    /// Sends a frame, unless the server has ended the connection meanwhile.
    pub fn send_if_there(&self, frame: Vec<u8>) {
        let _gone = self.connection.as_ref().unwrap().1.send(frame);
    }

    /// Sends a frame of the test's own making.
    pub fn send(&self, frame: Vec<u8>) {
        self.connection.as_ref().unwrap().1.send(frame).unwrap();
    }
}

/// A frame of an agent.
pub fn frame(what: from_agent::What) -> Vec<u8> {
    encode(&FromAgent { what: Some(what) })
}

/// The frame of a receipt.
pub fn receipt_frame(note: &Note) -> Vec<u8> {
    frame(from_agent::What::Receipt(message::Receipt { note: note.to_string() }))
}

async fn live(
    mut wire: Wire,
    mind: Arc<Mutex<Mind>>,
    mut to_send: mpsc::UnboundedReceiver<Vec<u8>>,
    frames: mpsc::UnboundedSender<Vec<u8>>,
) {
    loop {
        let heard = tokio::select! {
            Some(frame) = to_send.recv() => {
                wire.send_bytes(&frame).await;
                continue;
            }
            heard = tokio::time::timeout(Duration::from_secs(1), wire.read()) => heard,
        };
        let input = match heard {
            Err(_) => Input::Tick,
            Ok(None) => return,
            Ok(Some(what)) => match mind.lock().unwrap().input_of(what) {
                Some(input) => input,
                None => return,
            },
        };
        let answers = mind.lock().unwrap().hear(input);
        answers.into_iter().for_each(|frame| frames.send(frame).unwrap());
    }
}

impl Mind {
    /// The verdicts of the receipts it made, with their reasons.
    pub fn verdicts(&self) -> Vec<String> {
        let receipts = self.receipts.iter().map(|note| note.text().parse::<Receipt>().unwrap());
        receipts.map(|receipt| format!("{} {}", receipt.verdict, receipt.because).trim().to_owned()).collect()
    }

    /// How many receipts wait for acknowledgement.
    pub fn spooled(&self) -> usize {
        self.device.ledger().spooled()
    }

    fn input_of(&mut self, what: from_server::What) -> Option<Input> {
        Some(match what {
            from_server::What::Delivery(delivery) => {
                self.delivered += 1;
                Input::Delivered(Box::new((&delivery).try_into().unwrap()))
            }
            from_server::What::News(news) => {
                let news: Vec<News> = news.envelopes.iter().map(|text| read_news(text).unwrap()).collect();
                self.news.extend(news.iter().cloned());
                Input::News(news)
            }
            from_server::What::Acknowledged(shown) => {
                Input::Acknowledged(Box::new(shown.try_into().unwrap()))
            }
            from_server::What::Kept(kept) => {
                self.kept.push(kept.hash);
                Input::Tick
            }
            from_server::What::Joined(_) => panic!("an answer to a join nobody asked for"),
            from_server::What::Sorry(sorry) => {
                self.sorry = Some(sorry.why);
                return None;
            }
        })
    }

    /// Lets the device decide and does what it says; returns the frames that follow.
    pub fn hear(&mut self, input: Input) -> Vec<Vec<u8>> {
        let moment = self.moment();
        let outputs = self.device.handle(input, moment).unwrap();
        outputs.into_iter().flat_map(|output| self.act(output)).collect()
    }

    fn act(&mut self, output: Output) -> Vec<Vec<u8>> {
        match output {
            Output::LeaveChallenge(random) => {
                vec![frame(from_agent::What::Challenge(message::Challenge { random: random.to_vec() }))]
            }
            Output::SendReceipt(note) => {
                let frame = receipt_frame(&note);
                if !self.receipts.contains(&note) {
                    self.receipts.push(note);
                }
                vec![frame]
            }
            Output::Run(job) => {
                let key = job.key();
                self.ran.push(key);
                let said = output_frame(key, 0, SAID);
                let rest =
                    if self.holds { Vec::new() } else { self.hear(Input::Ended(key, ending(self.ends))) };
                std::iter::once(said).chain(rest).collect()
            }
            Output::Kill(key, _) => {
                self.killed.push(key);
                self.hear(Input::Ended(key, ending("halted")))
            }
            // The disk of these devices is their memory, and they ask nobody but their server.
            Output::Persist(_) | Output::Keep(_) | Output::AskBeacons(_) => Vec::new(),
        }
    }

    fn moment(&self) -> Moment {
        let mut random = [0; 32];
        getrandom::fill(&mut random).unwrap();
        let wall_ms =
            u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
        let up_ms = u64::try_from(self.came_up.elapsed().as_millis()).unwrap();
        let now = Reading { boot_ms: 1_000_000 + up_ms + self.ahead_ms, wall_ms: wall_ms + self.ahead_ms };
        Moment { now, random }
    }
}

/// An end, good if it is `exit 0`.
pub fn ending(how: &str) -> Ending {
    let kept = u64::try_from(SAID.len()).unwrap();
    Ending { well: how == "exit 0", how: how.to_owned(), output: Sha256::of(SAID), kept, dropped: 0 }
}

/// The frame of a piece of output.
pub fn output_frame(key: StepKey, offset: u64, bytes: &[u8]) -> Vec<u8> {
    let StepKey { job, occurrence, step } = key;
    let (job, bytes) = (job.0.to_vec(), bytes.to_vec());
    frame(from_agent::What::Output(StepOutput { job, occurrence, step, stream: 1, offset, bytes }))
}
