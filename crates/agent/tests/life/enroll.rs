//! Becoming a device.

use countersign_agent::disk::{DiskError, Folder};
use countersign_agent::enroll::{EnrollError, device_signer, enroll, enroll_offline};
use countersign_trust::delivery::write_sequence;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::join::join_leaf;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::enroll::{Device, Enroll, What};
use countersign_wire::message::{Joined, from_agent, from_server};
use countersign_wire::token::{TOKEN_KEY_NAME, Token};

use crate::organization::{Organization, WITNESSES, labels, note_key, sign, word};
use crate::server::{Connection, Server};
use crate::world::World;

/// An organization whose batch is joined with the key that every token's is named by.
struct Office {
    org: Organization,
    batch: Logged,
    server: Server,
    folder: tempfile::TempDir,
}

impl Office {
    async fn open() -> Self {
        let mut org = Organization::found();
        let enrollment = org.enroll("till-9");
        let What::Batch(mut batch) =
            countersign_trust::statement::read::<Enroll>(enrollment.enroll.signed.statement()).unwrap().what
        else {
            panic!("a batch")
        };
        batch.token = note_key(TOKEN_KEY_NAME).verifier().clone();
        let enroll = Enroll { org: org.org, id: org.id(), what: What::Batch(batch) };
        let batch = org.log(sign(&enroll, &["anna", "bo"]));
        Self { org, batch, server: Server::listen().await, folder: tempfile::tempdir().unwrap() }
    }

    fn token(&self) -> Token {
        Token {
            org: self.org.org,
            server: self.server.address.clone(),
            pin: Some(self.server.pin),
            batch: self.batch.signed.hash(),
            seed: Sha256::of(TOKEN_KEY_NAME.as_bytes()).0,
        }
    }

    fn folder(&self) -> Folder {
        Folder::open(&self.folder.path().join("data")).unwrap()
    }

    /// Answers one wish to join, as `bend` bends what an honest server says.
    async fn answer(&mut self, bend: impl FnOnce(&mut Joined)) -> (Connection, Note) {
        let mut connection = self.server.accept().await;
        let Some(from_agent::What::Join(wish)) = connection.next().await else {
            panic!("a Join comes first")
        };
        let join: Note = wish.note.parse().unwrap();
        let index = self.org.log.append(&join_leaf(&self.org.org, &join));
        let mut joined = Joined {
            chain: vec![self.org.genesis.to_string()],
            enroll: self.batch.to_string(),
            proof: self.org.log.proof(index, &WITNESSES).to_string(),
        };
        bend(&mut joined);
        connection.send(from_server::What::Joined(joined)).await;
        (connection, join)
    }
}

#[tokio::test]
async fn a_token_enrolls_a_machine_once() {
    let mut office = Office::open().await;
    let (token, folder) = (office.token(), office.folder());
    let (enrolled, (_, join)) = tokio::join!(enroll(&folder, &token), office.answer(|_| ()));
    let enrolled = enrolled.unwrap();
    let key = device_signer(&folder.seed().unwrap()).unwrap();
    assert!(join.signed_by(key.verifier()) && join.signed_by(note_key(TOKEN_KEY_NAME).verifier()));
    assert_eq!(enrolled.device, DeviceId::of_key(key.verifier().raw()));
    assert_eq!(enrolled.labels.get(&word("site")), Some(&word("Smygehamn 12")));
    // The second time nobody is asked.
    assert_eq!(enroll(&folder, &token).await.unwrap(), enrolled);
    assert_eq!(folder.open_ledger().unwrap().1.enrolled(), Some(&enrolled));
}

#[tokio::test]
async fn an_answer_that_does_not_hold_enrolls_nobody() {
    let foreign = Organization::found_with(|policy| policy.name = word("Somebody else"));
    type Bend = Box<dyn FnOnce(&mut Joined)>;
    let bends: [(&str, Bend); 4] = [
        ("this is org-", Box::new(move |joined| joined.chain = vec![foreign.genesis.to_string()])),
        ("lacks a genesis policy", Box::new(|joined| joined.chain.clear())),
        ("the proof", Box::new(|joined| joined.proof.clear())),
        ("the enrollment", Box::new(|joined| joined.enroll.clear())),
    ];
    for (expected, bend) in bends {
        let mut office = Office::open().await;
        let (token, folder) = (office.token(), office.folder());
        let (enrolled, _) = tokio::join!(enroll(&folder, &token), office.answer(bend));
        let error = enrolled.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(matches!(folder.open_ledger(), Err(DiskError::NotEnrolled(_))));
    }
}

#[tokio::test]
async fn a_batch_other_than_the_tokens_enrolls_nobody() {
    let mut office = Office::open().await;
    let other = office.org.enroll("till-8").enroll.to_string();
    let (token, folder) = (office.token(), office.folder());
    let (enrolled, _) = tokio::join!(enroll(&folder, &token), office.answer(|joined| joined.enroll = other));
    assert!(matches!(enrolled, Err(EnrollError::OtherBatch { .. })));
    assert!(matches!(folder.open_ledger(), Err(DiskError::NotEnrolled(_))));
}

#[tokio::test]
async fn a_machine_stays_in_its_organization() {
    let world = World::new().await;
    let token = Office::open().await;
    let mut token = token.token();
    token.org.0[0] ^= 1;
    let folder = Folder::open(&world.data).unwrap();
    assert!(matches!(enroll(&folder, &token).await, Err(EnrollError::Elsewhere { .. })));
}

#[tokio::test]
async fn an_operator_enrolls_a_machine_by_its_key_and_a_file() {
    let mut world = World::new().await;
    world.data = world.path("another");
    let output = world.program(&["key"]).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (key, id) = printed.trim_end().split_once('\n').unwrap();
    let key: VerifierKey = key.parse().unwrap();
    assert_eq!(id, DeviceId::of_key(key.raw()).to_string());

    let (org, file) = world.organization(|org| {
        let device = Device {
            key,
            host_key: word(""),
            site: word("Ystad 3"),
            labels: labels(&[("class", "server")]),
            seq: 1,
            previous: None,
        };
        let enroll = Enroll { org: org.org, id: org.id(), what: What::Device(device) };
        let enroll = org.log(sign(&enroll, &["anna", "bo"]));
        (org.org, write_sequence(&[org.genesis.clone(), enroll]))
    });
    let path = world.path("enrollment");
    std::fs::write(&path, &file).unwrap();
    let path = path.to_str().unwrap();
    let arguments = ["enroll", "--org", &org.to_string(), "--from", path];
    let output = world.program(&arguments).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\nclass: server\nsite: Ystad 3\n"));
    // Again, and for another organization.
    assert!(world.program(&arguments).status().unwrap().success());
    let folder = Folder::open(&world.data).unwrap();
    let elsewhere = countersign_trust::ids::OrgId([1; 32]);
    assert!(matches!(enroll_offline(&folder, elsewhere, &[]), Err(EnrollError::Elsewhere { .. })));
}
