//! The one configuration file. What an agent does is decided by policies and jobs; this says where it keeps its things.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// A complete file, to start from.
pub const SAMPLE: &str = include_str!("../../../deploy/agent.toml");
/// Where the file is if nobody says otherwise. It need not be there.
pub const USUAL: &str = "/etc/countersign/agent.toml";

/// The configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of key and ledger.
    pub data: PathBuf,
    /// What is logged, as `tracing-subscriber` filters it: `info`, `debug`, `countersign_agent=debug`.
    pub log: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { data: PathBuf::from("/var/lib/countersign-agent"), log: "info".to_owned() }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}")]
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
}

impl Config {
    /// Reads the file at `path`, or the usual one if there is one; `data` goes before what it says.
    ///
    /// # Errors
    /// It cannot be read, or holds an unknown key.
    pub fn read(path: Option<&Path>, data: Option<PathBuf>) -> Result<Self, ConfigError> {
        let mut config = match path {
            Some(path) => Self::read_file(path)?,
            None if Path::new(USUAL).exists() => Self::read_file(Path::new(USUAL))?,
            None => Self::default(),
        };
        config.data = data.unwrap_or(config.data);
        Ok(config)
    }

    fn read_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| ConfigError::Read { path: path.to_owned(), error })?;
        toml::from_str(&text).map_err(|error| ConfigError::Form { path: path.to_owned(), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_what_holds_without_a_file() {
        assert_eq!(toml::from_str::<Config>(SAMPLE).unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_refused_with_a_whole_file_to_start_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, "server = \"somewhere:443\"\n").unwrap();
        let error = Config::read(Some(&path), None).unwrap_err().to_string();
        assert!(error.contains("unknown field `server`") && error.contains(SAMPLE), "{error}");
    }

    #[test]
    fn a_folder_given_at_the_command_line_goes_before_the_files() {
        let config = Config::read(None, Some(PathBuf::from("/srv/agent"))).unwrap();
        assert_eq!(config.data, Path::new("/srv/agent"));
    }
}
