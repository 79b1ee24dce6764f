//! The one configuration file, and what `init` draws for it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_trust::ids::OrgId;
use countersign_trust::key::PublicKey;
use countersign_trust::note::{KeyKind, NoteSigner, VerifierKeyError};
use serde::{Deserialize, Deserializer};

use crate::disk::{DiskError, create, create_folder};

/// A complete file, to start from.
pub const SAMPLE: &str = include_str!("../../../deploy/beacon.toml");
/// The file in the data folder that holds the key's seed.
pub const KEY_FILE: &str = "key";

/// The configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder of key, policies and halts.
    pub data: PathBuf,
    /// Address and port for HTTPS; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The name of the key.
    pub name: String,
    /// Who is served.
    pub organizations: Organizations,
    /// Whose feed is followed, if any.
    pub vendor: Option<Vendor>,
}

/// Whose feed is followed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// The keys that may sign its index, as `countersign vendor key` prints them.
    #[serde(deserialize_with = "keys")]
    pub keys: BTreeSet<PublicKey>,
    /// Where it is: https, any certificate, since the index is signed.
    pub feeds: Vec<String>,
    /// How often a server is asked that holds no connections, in seconds.
    #[serde(default = "sixty")]
    interval: NonZeroU32,
}

impl Vendor {
    /// How often a server is asked that holds no connections.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval.get().into())
    }
}

fn sixty() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(59)
}

fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<PublicKey>, D::Error> {
    let lines = Vec::<String>::deserialize(from)?;
    let read = |line: &String| PublicKey::from_openssh(line).map(|(key, _)| key);
    lines.iter().map(read).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

/// Who is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Organizations {
    /// Anybody's.
    Any,
    /// Only these.
    Only(BTreeSet<OrgId>),
}

impl Organizations {
    /// Whether `org` is served.
    pub fn admits(&self, org: &OrgId) -> bool {
        match self {
            Self::Any => true,
            Self::Only(orgs) => orgs.contains(org),
        }
    }
}

impl<'de> Deserialize<'de> for Organizations {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "write \"any\" or a list of organizations such as [\"org-…\"]")]
        enum Form {
            Word(String),
            List(Vec<String>),
        }
        let orgs = match Form::deserialize(from)? {
            Form::Word(word) if word == "any" => return Ok(Self::Any),
            Form::Word(word) => vec![word],
            Form::List(orgs) => orgs,
        };
        let orgs = orgs.iter().map(|org| org.parse()).collect::<Result<_, _>>();
        orgs.map(Self::Only).map_err(serde::de::Error::custom)
    }
}

/// Why there is nothing to run with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}; `--config FILE init` writes one")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file says something else than it should.
    #[error("{path}: {error}\nA complete file reads:\n\n{SAMPLE}")]
    Form {
        /// The file.
        path: PathBuf,
        /// Where and what.
        error: toml::de::Error,
    },
    /// The key cannot be read.
    #[error("{path} holds no key: it should be 64 hexadecimal digits; `init` writes one, in a new folder")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Not a name for a key.
    #[error("`name` in the configuration: {0}")]
    Name(#[from] VerifierKeyError),
    /// Something is there already.
    #[error("{0} is there already, and a key is never replaced: choose another path, or use `run`")]
    Exists(PathBuf),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Config {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| ConfigError::Form { path: path.to_owned(), error })
    }

    /// The key, from its file in the data folder.
    pub fn signer(&self) -> Result<NoteSigner, ConfigError> {
        let path = self.data.join(KEY_FILE);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let seed = read_seed(&text).ok_or(ConfigError::NoKey { path })?;
        Ok(NoteSigner::new(&self.name, KeyKind::Ed25519, &seed)?)
    }
}

/// Draws a key and writes it, and the configuration file at `path`; neither may be there before.
pub fn init(path: &Path, data: &Path, name: &str, listen: SocketAddr) -> Result<Config, ConfigError> {
    let key = data.join(KEY_FILE);
    if let Some(there) = [path, &key].into_iter().find(|path| path.exists()) {
        return Err(ConfigError::Exists(there.to_owned()));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(ConfigError::Random)?;
    // A name that no key can bear is refused before anything is written.
    NoteSigner::new(name, KeyKind::Ed25519, &seed)?;
    create_folder(data)?;
    create(&key, &write_seed(&seed))?;
    let config = Config {
        data: data.to_owned(),
        listen,
        name: name.to_owned(),
        organizations: Organizations::Any,
        vendor: None,
    };
    create(path, &config.text())?;
    Ok(config)
}

impl Config {
    /// The sample with this configuration's own values.
    fn text(&self) -> String {
        let line = |line: &str| match line.split_once(" = ") {
            Some(("data", _)) => format!("data = {:?}\n", self.data.to_string_lossy()),
            Some(("listen", _)) => format!("listen = \"{}\"\n", self.listen),
            Some(("name", _)) => format!("name = {:?}\n", self.name),
            _ => format!("{line}\n"),
        };
        SAMPLE.lines().map(line).collect()
    }
}

fn write_seed(seed: &[u8; 32]) -> String {
    let mut text = String::new();
    for byte in seed {
        let _ = write!(text, "{byte:02x}");
    }
    text + "\n"
}

/// A seed has the form of a hash: 64 lowercase digits and a line feed.
fn read_seed(text: &str) -> Option<[u8; 32]> {
    let hash: countersign_trust::ids::Sha256 = text.strip_suffix('\n')?.parse().ok()?;
    Some(hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_configuration() {
        let config: Config = toml::from_str(SAMPLE).unwrap();
        assert_eq!(config.organizations, Organizations::Any);
        let org = format!("org-{}", "a".repeat(64));
        let some = SAMPLE.replace("= \"any\"", &format!("= [\"{org}\"]"));
        let config: Config = toml::from_str(&some).unwrap();
        assert!(config.organizations.admits(&org.parse().unwrap()));
        assert!(!config.organizations.admits(&OrgId([1; 32])));
    }

    #[test]
    fn what_is_missing_unknown_or_wrong_is_named() {
        let cases = [
            (SAMPLE.replace("listen =", "# listen ="), "missing field `listen`"),
            (SAMPLE.replace("organizations =", "# organizations ="), "missing field `organizations`"),
            (SAMPLE.replace("listen =", "lisen ="), "unknown field `lisen`"),
            (SAMPLE.replace("\"any\"", "7"), "write \"any\" or a list of organizations"),
            (SAMPLE.replace("\"any\"", "\"some\""), "expected an id that starts with `org-`, found `some`"),
            (SAMPLE.replace("0.0.0.0:", ""), "invalid socket address syntax"),
        ];
        for (text, expected) in cases {
            let error = toml::from_str::<Config>(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_feed_is_followed_where_the_file_says_so_and_by_the_keys_that_it_names() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIo4bXwMgYrP6ir5ct7hGxgnk0HapjlRjZ2hCZ9UQi+P";
        let with = |lines: &str| toml::from_str::<Config>(&format!("{SAMPLE}\n[vendor]\n{lines}"));
        let config = with(&format!("keys = [\"{key} a comment\"]\nfeeds = [\"https://v.example/feed\"]"));
        let vendor = config.unwrap().vendor.unwrap();
        assert_eq!((vendor.keys.len(), vendor.interval()), (1, Duration::from_secs(60)));
        for (lines, expected) in [
            ("feeds = []", "missing field `keys`"),
            ("keys = [\"ssh-ed25519 AAAA\"]\nfeeds = []", "key"),
            ("keys = []\nfeeds = []\ninterval = 0", "nonzero"),
        ] {
            let error = with(lines).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn init_writes_a_private_key_and_a_file_once() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (file, data) = (folder.path().join("a.toml"), folder.path().join("data"));
        let listen = "127.0.0.1:0".parse().unwrap();
        let made = init(&file, &data, "b.example", listen).unwrap();
        let read = Config::read(&file).unwrap();
        assert_eq!((&read.data, read.listen, &read.name), (&made.data, made.listen, &made.name));
        assert_eq!(read.signer().unwrap().verifier(), made.signer().unwrap().verifier());
        let mode = std::fs::metadata(data.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            matches!(init(&file, &data, "b.example", listen), Err(ConfigError::Exists(path)) if path == file)
        );
        let other = folder.path().join("b.toml");
        assert!(matches!(init(&other, &data, "b.example", listen), Err(ConfigError::Exists(_))));
        let bad = init(&other, &folder.path().join("new"), "no name", listen);
        assert!(matches!(bad, Err(ConfigError::Name(_))) && !other.exists());
    }
}
