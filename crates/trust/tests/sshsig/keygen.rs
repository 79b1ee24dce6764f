//! The real `ssh-keygen` in a folder of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use countersign_trust::key::PublicKey;
use countersign_trust::sshsig::SshSig;

pub struct Keygen {
    folder: tempfile::TempDir,
}

/// A private key that `ssh-keygen` made.
pub struct KeyFile {
    path: PathBuf,
    pub key: PublicKey,
    pub comment: String,
}

impl Keygen {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("ssh-keygen");
        command.current_dir(self.folder.path()).env_remove("SSH_AUTH_SOCK");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().expect("ssh-keygen is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes a key of `kind` (`-t`) and `bits` (`-b`).
    pub fn generate(&self, kind: &str, bits: &str) -> KeyFile {
        let (path, line) = self.generate_line(kind, bits);
        let (key, comment) = PublicKey::from_openssh(&line).unwrap();
        KeyFile { path, key, comment: comment.to_owned() }
    }

    /// Makes a key and gives its file and its public line, which may be of a kind we refuse.
    pub fn generate_line(&self, kind: &str, bits: &str) -> (PathBuf, String) {
        let name = format!("id_{kind}_{bits}");
        self.run(&["-q", "-t", kind, "-b", bits, "-N", "", "-C", "anna at the till", "-f", &name]);
        let path = self.folder.path().join(&name);
        let line = fs::read_to_string(path.with_extension("pub")).unwrap();
        (path, line)
    }

    /// The fingerprint that `ssh-keygen -l` prints.
    pub fn fingerprint(&self, file: &KeyFile) -> String {
        let printed = self.run(&["-l", "-f", file.path.with_extension("pub").to_str().unwrap()]);
        printed.split(' ').nth(1).unwrap().to_owned()
    }

    /// The armored signature that `ssh-keygen -Y sign` makes, with further `options`.
    pub fn sign(&self, file: &KeyFile, namespace: &str, message: &[u8], options: &[&str]) -> String {
        let to_sign = self.folder.path().join("message");
        let signature = self.folder.path().join("message.sig");
        fs::write(&to_sign, message).unwrap();
        let _absent = fs::remove_file(&signature);
        let mut arguments = vec!["-q", "-Y", "sign", "-n", namespace, "-f", file.path.to_str().unwrap()];
        arguments.extend(options);
        arguments.push("message");
        self.run(&arguments);
        fs::read_to_string(signature).unwrap()
    }

    /// Whether `ssh-keygen -Y verify` takes the signature, given that `key` is Anna's.
    pub fn takes(&self, key: &PublicKey, namespace: &str, message: &[u8], signature: &SshSig) -> bool {
        let line = key.to_string();
        // A passkey is listed as the security key it is; only its signatures are of another kind.
        let line = line.strip_prefix("webauthn-").unwrap_or(&line);
        fs::write(self.folder.path().join("allowed"), format!("anna {line}\n")).unwrap();
        fs::write(self.folder.path().join("verify.sig"), signature.to_armor()).unwrap();
        fs::write(self.folder.path().join("verify"), message).unwrap();
        let stdin = fs::File::open(self.folder.path().join("verify")).unwrap();
        let mut command = self.command();
        command.args(["-Y", "verify", "-f", "allowed", "-I", "anna", "-n", namespace, "-s", "verify.sig"]);
        command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }
}
