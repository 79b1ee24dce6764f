//! Keys other than plain Ed25519 ones: RSA, and security keys in software. Both sign the same text the same way each time.

use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::key::{Algorithm, PublicKey};
use countersign_trust::sshsig::{SshSig, signed_bytes};
use countersign_trust::sshwire::Writer;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::policy::{PersonKey, Policy};

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA512, RsaKeyPair, RsaPublicKeyComponents};

use crate::organization::{sign_text, ssh_key, word};

const JOB: &str = "job.v1@countersign";

/// Gives a person one more key.
pub fn give(policy: &mut Policy, person: &str, key: PublicKey, same_origin: bool) {
    policy.people.get_mut(&word(person)).unwrap().keys.push(PersonKey { key, same_origin });
}

/// A job with these people's plain signatures and others.
pub fn sign_also(job: &Job, plain: &[&str], others: impl IntoIterator<Item = SshSig>) -> Signed {
    let text = countersign_trust::statement::write(job).0;
    let plain = plain.iter().map(|key| ssh_key(key).sign(JOB, text.as_bytes()).unwrap());
    Signed::new(text.clone(), plain.chain(others)).unwrap()
}

/// The signatures of `signed` and of `other` keys over another kind's namespace cannot be mixed: only one kind each.
pub fn as_halt(text: &str, keys: &[&str]) -> Signed {
    sign_text(text.to_owned(), countersign_trust::statement::Kind::Halt, keys)
}

fn rsa() -> RsaKeyPair {
    RsaKeyPair::from_pkcs8(include_bytes!("keys/rsa-3072.pk8")).unwrap()
}

/// An RSA key of 3072 bits that only these tests know.
pub fn rsa_key() -> PublicKey {
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(rsa().public());
    let mut blob = Writer::new();
    blob.string(b"ssh-rsa").positive(&e).positive(&n);
    PublicKey::from_blob(Algorithm::Rsa, &blob.take()).unwrap()
}

/// Its signature under a job.
pub fn rsa_signature(text: &str) -> SshSig {
    let pair = rsa();
    let mut numbers = vec![0; pair.public().modulus_len()];
    let signed = signed_bytes(JOB, text.as_bytes());
    pair.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), &signed, &mut numbers).unwrap();
    let signature = Writer::new().string(b"rsa-sha2-512").string(&numbers).take();
    SshSig::from_signature(&rsa_key(), JOB, &signature).unwrap()
}

fn token(name: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&Sha256::of(name.as_bytes()).0).unwrap()
}

/// The `sk-ssh-ed25519` key of this name.
pub fn token_key(name: &str) -> PublicKey {
    let mut blob = Writer::new();
    blob.string(b"sk-ssh-ed25519@openssh.com").string(token(name).public_key().as_ref()).string(b"ssh:");
    PublicKey::from_blob(Algorithm::SkEd25519, &blob.take()).unwrap()
}

/// Its signature under a job; `flags` say what the person did: 1 touched it, 4 showed a PIN.
pub fn token_signature(name: &str, text: &str, flags: u8) -> SshSig {
    let counter = 9;
    let asked = Sha256::of(&signed_bytes(JOB, text.as_bytes()));
    let mut signed = Writer::new();
    signed.raw(&Sha256::of(b"ssh:").0).byte(flags).u32(counter).raw(&asked.0);
    let numbers = token(name).sign(&signed.take());
    let mut signature = Writer::new();
    signature.string(b"sk-ssh-ed25519@openssh.com").string(numbers.as_ref()).byte(flags).u32(counter);
    SshSig::from_signature(&token_key(name), JOB, &signature.take()).unwrap()
}
