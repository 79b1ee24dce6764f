//! What the fuzzer begins with: every part of every vector, under the law of its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::chain::Recovered;
use countersign_trust::checkpoint::AddCheckpoint;
use countersign_trust::clear::{Acknowledgement, AnsweredClear};
use countersign_trust::delivery::{Delivery, News, write_sequence};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::ledger::{Record, StepKey, StepState};
use countersign_trust::note::Note;
use countersign_trust::receipt::{Reason, Receipt, Verdict};
use countersign_trust::sshwire::Writer;
use countersign_trust::statement::Kind;
use countersign_trust::time::Time;
use countersign_wire::frame::encode;
use countersign_wire::message::{self, FromAgent, FromServer, from_agent, from_server};
use countersign_wire::token::Token;
use prost::Message;

/// The inputs of each law.
#[derive(Default)]
struct Seeds(BTreeMap<&'static str, BTreeSet<Vec<u8>>>);

/// Writes a folder for each law, with a file for each input.
pub fn write(vectors: &Path, folder: &Path) {
    let mut seeds = Seeds::default();
    for vector in fs::read_dir(vectors).expect("the vectors").map(|entry| entry.unwrap().path()) {
        seeds.take_vector(&vector);
    }
    seeds.take_made();
    for (law, inputs) in seeds.0 {
        fs::create_dir_all(folder.join(law)).unwrap();
        for input in inputs {
            fs::write(folder.join(law).join(Sha256::of(&input).to_string()), input).unwrap();
        }
    }
}

impl Seeds {
    fn put(&mut self, law: &'static str, input: impl AsRef<[u8]>) {
        self.0.entry(law).or_default().insert(input.as_ref().to_vec());
    }

    fn take_vector(&mut self, vector: &Path) {
        let mut envelopes = Vec::new();
        for part in ["", "chain", "clears", "advances"] {
            let Ok(entries) = fs::read_dir(vector.join(part)) else { continue };
            let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            for path in paths.iter().filter(|path| path.is_file()) {
                let text = fs::read_to_string(path).unwrap();
                match path.extension().and_then(|ending| ending.to_str()) {
                    Some("txt") if text.len() < 16_384 => {
                        self.take_envelope(&text);
                        envelopes.push(text);
                    }
                    Some("note" | "clear") => self.take_note(&text),
                    Some("tlog-proof") => self.take_proof(&text),
                    _ => {}
                }
            }
        }
        self.put("sequence", write_sequence(&envelopes));
        self.take_messages(vector, &envelopes);
    }

    fn take_envelope(&mut self, text: &str) {
        self.put("logged", text);
        let Ok(logged) = Logged::from_text(text) else {
            return Signed::from_text(text).map_or((), |signed| self.take_signed(&signed));
        };
        self.take_signed(&logged.signed);
        self.take_proof(&logged.proof.to_string());
        if let Ok(news) = News::from_text(text) {
            self.put_record(&Record::News(news));
        }
        let genesis = Record::Began { org: OrgId(logged.signed.hash().0), genesis: logged };
        self.put("record", genesis.encode());
    }

    fn take_signed(&mut self, signed: &Signed) {
        self.put("signed", signed.to_string());
        let law = match signed.kind().map(|kind| kind.to_string()).as_deref() {
            Ok("policy") => "policy",
            Ok("job") => "job",
            Ok("halt") => "halt",
            Ok("resume") => "resume",
            Ok("advance") => "advance",
            _ => "enroll",
        };
        self.put(law, signed.statement());
        for signature in signed.signatures() {
            self.put("armor", signature.to_armor());
            self.put("signature", signature.blob());
            self.put("key", signature.key_blob());
        }
        for word in signed.statement().split('"') {
            if word.split_once(" AAAA").is_some() {
                self.put("key", word);
            } else if word.matches('+').count() >= 2 {
                self.put("verifier-key", word);
            }
        }
    }

    fn take_note(&mut self, text: &str) {
        self.put("note", text);
        let Ok(note) = text.parse::<Note>() else { return };
        if note.text().starts_with("countersign-clear") {
            self.put("clear", note.text());
        } else if note.text().starts_with("countersign-join") {
            self.put("join", note.text());
        } else {
            self.put("checkpoint", note.text());
        }
        self.put_record(&Record::Receipt(note));
    }

    fn take_proof(&mut self, text: &str) {
        self.put("proof", text);
        let Some((_, checkpoint)) = text.split_once("\n\n") else { return };
        self.take_note(checkpoint);
        let Ok(checkpoint) = checkpoint.parse::<Note>() else { return };
        let asked = AddCheckpoint { old: 1, consistency: vec![Sha256::of(b"")], checkpoint };
        self.put("add-checkpoint", asked.to_string());
    }

    /// A record alone, and as all that follows in a ledger.
    fn put_record(&mut self, record: &Record) {
        let bytes = record.encode();
        self.put("ledger", Writer::new().string(&bytes).take());
        self.put("record", bytes);
    }

    fn put_from_server(&mut self, what: from_server::What) {
        let message = FromServer { what: Some(what) };
        self.put("frame", [vec![7], encode(&message)].concat());
        self.put("from-server", message.encode_to_vec());
    }

    fn put_from_agent(&mut self, what: from_agent::What) {
        let message = FromAgent { what: Some(what) };
        self.put("frame", [vec![7], encode(&message), encode(&message)].concat());
        self.put("from-agent", message.encode_to_vec());
    }

    fn take_messages(&mut self, vector: &Path, envelopes: &[String]) {
        let Ok(text) = fs::read_to_string(vector.join("job.txt")) else { return };
        let Ok(job) = Logged::from_text(&text) else { return };
        let news = envelopes.iter().filter_map(|text| News::from_text(text).ok()).collect();
        let clears = (1..=4).filter_map(|number| read_clear(vector, number)).collect();
        let advances = envelopes.iter().filter_map(|text| Logged::from_text(text).ok());
        let advances = advances.filter(|logged| logged.signed.kind() == Ok(Kind::Advance)).collect();
        let delivery = Delivery { job, news, clears, target: None, advances };
        self.put_from_server(from_server::What::Delivery(message::Delivery::from(&delivery)));
        let envelopes = delivery.news.iter().map(ToString::to_string).collect();
        self.put_from_server(from_server::What::News(message::NewsTexts { envelopes }));
    }

    /// What stands in no vector.
    fn take_made(&mut self) {
        let (org, hash) = (OrgId([1; 32]), Sha256::of(b""));
        self.put("acknowledgement", Acknowledgement { org, halt: hash, policy: hash }.to_string());
        self.put("acknowledgement", Recovered { org, policy: hash, after: hash }.to_string());
        let receipt = receipt(org, hash);
        self.put("receipt", receipt.to_string());
        self.put("merkle", [0x11; 112]);
        self.put("sequence", write_sequence(&["a\n", "", "bcdefghijk\n"]));
        let key = StepKey { job: hash, occurrence: 0, step: 1 };
        for state in [StepState::Started, StepState::EndedWell, StepState::Failed] {
            self.put_record(&Record::Step { key, state, not_after: Time(9), receipt: None });
        }
        for record in [Record::Floor(Time(7)), Record::Acknowledged(3), Record::Head { number: 3, hash }] {
            self.put_record(&record);
        }
        for law in ["bent-signature", "bent-envelope", "bent-note", "bent-delivery"] {
            for which in 0..6 {
                self.put(law, [which]);
                self.put(law, [which, 0, 0, 9, 1]);
            }
        }
        let token = Token { org, server: "127.0.0.1:8443".to_owned(), pin: Some(hash), batch: hash, seed: [4; 32] };
        self.put("token", token.to_string());
        self.put("token", Token { pin: None, ..token }.to_string());
        let hello = message::Hello { version: "0.1.0".to_owned(), holds: vec![hash.to_string()], ..Default::default() };
        self.put_from_agent(from_agent::What::Hello(hello));
        self.put_from_agent(from_agent::What::Receipt(message::Receipt { note: receipt.to_string() }));
        self.put_from_agent(from_agent::What::Challenge(message::Challenge { random: vec![7; 32] }));
        let output = message::StepOutput { job: vec![1; 32], stream: 1, bytes: vec![b'x'; 40], ..Default::default() };
        self.put_from_agent(from_agent::What::Output(output));
        self.put_from_server(from_server::What::Sorry(message::Sorry { why: "full".to_owned() }));
        let proof = self.0["proof"].iter().next().and_then(|text| String::from_utf8(text.clone()).ok());
        let path = vec![vec![1; 32]];
        let root = vec![2; 32];
        let proof = proof.unwrap_or_default();
        let acknowledged = message::Acknowledged { number: 1, index: 0, size: 2, path, root, proof };
        self.put_from_server(from_server::What::Acknowledged(acknowledged));
    }
}

fn read_clear(vector: &Path, number: u8) -> Option<AnsweredClear> {
    let file = |ending| fs::read_to_string(vector.join(format!("clears/{number}.{ending}"))).ok();
    let (clear, place) = (file("clear")?.parse().ok()?, file("path")?);
    let path = place.lines().skip(2).filter_map(|line| STANDARD.decode(line).ok()?.try_into().ok().map(Sha256));
    Some(AnsweredClear { clear, index: 1, size: 3, path: path.collect() })
}

fn receipt(org: OrgId, hash: Sha256) -> Receipt {
    Receipt {
        org,
        device: countersign_trust::ids::DeviceId(hash.0),
        number: 2,
        previous: Some(hash),
        job: None,
        occurrence: 0,
        step: 0,
        verdict: Verdict::Ended,
        count: 1,
        code: None,
            because: Reason::new("exit 0"),
        output: Some(hash),
        kept: 5,
        dropped: 0,
        policy: hash,
        enroll: hash,
        time: Time(5),
    }
}
