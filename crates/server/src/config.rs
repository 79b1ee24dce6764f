//! The configuration file: read once, in `main`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_trust::ids::{Name, Sha256};
use countersign_trust::key::PublicKey;
use serde::{Deserialize, Deserializer};

/// What the server must be told. Everything else comes from policies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder with the certificate, the setup token and, with SQLite, the database.
    pub data: PathBuf,
    /// Where to listen, such as `0.0.0.0:443`.
    pub listen: SocketAddr,
    /// Where agents and people reach it from outside, `host:port`.
    pub address: String,
    /// `sqlite`, or a `postgres://` URL.
    pub database: Database,
    /// Whose feed of halts is followed, if any.
    pub vendor: Option<Vendor>,
    /// A feed that this server serves, if any.
    pub feed: Option<Feed>,
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
    pub interval: NonZeroU32,
    /// Where to tell the vendor how far its halts came; nobody is told unless this is here.
    pub report: Option<Report>,
}

/// Where to tell the vendor how far its halts came.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// The vendor's server: `https://host/v1/feed/reports`.
    pub url: String,
    /// What the vendor gave for it.
    pub token: String,
}

impl fmt::Debug for Report {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A feed that is served, below `/v1/feed` and to everybody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Its folder, as `countersign vendor publish` leaves it.
    pub folder: PathBuf,
    /// The vendor's list of followers that report: a name, and the SHA-256 of the token that this one was given.
    #[serde(default, deserialize_with = "followers")]
    pub followers: BTreeMap<Name, Sha256>,
}

impl Vendor {
    /// How often a server is asked that holds no connections.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval.get().into())
    }
}

fn followers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Name, Sha256>, D::Error> {
    let mut followers = BTreeMap::new();
    for (name, hash) in BTreeMap::<String, String>::deserialize(from)? {
        let name = name.parse::<Name>().map_err(serde::de::Error::custom)?;
        followers.insert(name, hash.parse::<Sha256>().map_err(serde::de::Error::custom)?);
    }
    Ok(followers)
}

fn sixty() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(59)
}

fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<PublicKey>, D::Error> {
    let lines = Vec::<String>::deserialize(from)?;
    let read = |line: &String| PublicKey::from_openssh(line).map(|(key, _)| key);
    lines.iter().map(read).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
}

/// Which database.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Database {
    /// A file in the data folder.
    Sqlite,
    /// A PostgreSQL server, by its URL.
    Postgres(String),
}

/// Neither `sqlite` nor a URL of PostgreSQL.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no database: write \"sqlite\" or \"postgres://user:password@host/name\"")]
pub struct DatabaseError(String);

impl TryFrom<String> for Database {
    type Error = DatabaseError;
    fn try_from(text: String) -> Result<Self, DatabaseError> {
        match text.as_str() {
            "sqlite" => Ok(Self::Sqlite),
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(text))
            }
            // Whatever it is, it may hold a password.
            other => Err(DatabaseError(other.split(':').next().unwrap_or_default().to_owned())),
        }
    }
}

impl fmt::Debug for Database {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "Sqlite",
            Self::Postgres(_) => "Postgres",
        })
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It says something else.
    #[error("{path}: {error}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        error: Box<toml::de::Error>,
    },
    /// The public address has no port.
    #[error(
        "{path}: address = \"{address}\" must be a host and a port, such as \"countersign.example.com:443\""
    )]
    Address {
        /// The file.
        path: PathBuf,
        /// What stands there.
        address: String,
    },
}

impl Config {
    /// What a server at home needs: a folder, and one address for inside and outside.
    pub fn at_home(data: PathBuf, listen: SocketAddr) -> Self {
        let (address, database) = (listen.to_string(), Database::Sqlite);
        Self { data, listen, address, database, vendor: None, feed: None }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, misses something, or says something unknown.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        let config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Parse { path: path.clone(), error: Box::new(error) })?;
        let (host, port) = config.address.rsplit_once(':').unwrap_or_default();
        if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
            return Err(ConfigError::Address { path, address: config.address });
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        data = "/var/lib/countersign"
        listen = "0.0.0.0:443"
        address = "countersign.example.com:443"
        database = "sqlite"
    "#;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("server.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_that_is_delivered_can_be_read() {
        let config = parse(include_str!("../../../deploy/server.toml")).unwrap();
        assert_eq!(config.database, Database::Sqlite);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = parse(&format!("{GOOD}\nverify = false")).unwrap_err();
        assert!(error.contains("server.toml") && error.contains("`verify`"), "{error}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = parse(&GOOD.replace("database", "#")).unwrap_err();
        assert!(error.contains("`database`"), "{error}");
    }

    #[test]
    fn an_address_needs_a_port_and_no_scheme() {
        for bad in ["countersign.example.com", "https://countersign.example.com:443", ":443"] {
            assert!(parse(&GOOD.replace("countersign.example.com:443", bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_neither_printed_nor_in_an_error() {
        let good = parse(&GOOD.replace("\"sqlite\"", "\"postgres://me:secret@host/db\"")).unwrap();
        assert!(!format!("{good:?}").contains("secret"));
        let error = parse(&GOOD.replace("\"sqlite\"", "\"mysql://me:secret@host/db\"")).unwrap_err();
        assert!(error.contains("`mysql` is no database"), "{error}");
    }
}
