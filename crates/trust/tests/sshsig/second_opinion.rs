//! What another's library says of signatures and keys that we write, and ours of what it reads.

use countersign_trust::key::PublicKey;
use countersign_trust::sshsig::{PasskeyRules, SshSig, SshSigner};
use ssh_key::LineEnding;

use crate::{MESSAGE, NAMESPACE};

#[test]
fn another_library_reads_and_verifies_what_a_machine_signs() {
    let signer = SshSigner::from_seed(&[9; 32]).unwrap();
    let armor = signer.sign(NAMESPACE, MESSAGE).unwrap().to_armor();
    let key: ssh_key::PublicKey = signer.public_key().to_string().parse().unwrap();
    let signature: ssh_key::SshSig = armor.parse().unwrap();
    assert!(key.verify(NAMESPACE, MESSAGE, &signature).is_ok());
    assert!(key.verify("other@countersign", MESSAGE, &signature).is_err());
    assert!(key.verify(NAMESPACE, b"other", &signature).is_err());
    assert_eq!(key.fingerprint(ssh_key::HashAlg::Sha256).to_string(), signer.public_key().fingerprint());
}

#[test]
fn its_print_of_our_signature_is_ours_byte_for_byte_and_counts() {
    let signer = SshSigner::from_seed(&[9; 32]).unwrap();
    let ours = signer.sign(NAMESPACE, MESSAGE).unwrap();
    let theirs: ssh_key::SshSig = ours.to_armor().parse().unwrap();
    let back =
        SshSig::from_armor(&format!("{}\n", theirs.to_pem(LineEnding::LF).unwrap().trim_end())).unwrap();
    assert_eq!(back.blob(), ours.blob());
    let key: PublicKey = signer.public_key().to_string().parse().unwrap();
    assert!(back.verify(&key, NAMESPACE, MESSAGE, &PasskeyRules::NONE).is_ok());
}
