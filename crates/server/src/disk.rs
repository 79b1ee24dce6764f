//! The data folder: the certificate and the setup token, each made at the first start.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::auth::new_token;
use crate::tls;

const CERTIFICATE: &str = "tls.pem";
const SETUP_TOKEN: &str = "setup-token";
const DATABASE: &str = "countersign.db";
const VENDOR_FEED: &str = "vendor-feed";
const REPORTS: &str = "followers.json";

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// No certificate.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// The data folder.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, or makes it, for this user alone.
    ///
    /// # Errors
    /// The disk.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |error| DiskError::Io { path: path.to_owned(), error };
        create_folder(path).map_err(failed)?;
        private(path, 0o700).map_err(failed)?;
        Ok(Self(path.to_owned()))
    }

    /// Where the SQLite database is.
    pub fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    /// The certificate and its key, made for `host` if there is none.
    ///
    /// # Errors
    /// The disk.
    pub fn certificate(&self, host: &str) -> Result<Vec<u8>, DiskError> {
        self.read_or_make(CERTIFICATE, || Ok(tls::make(host)?))
    }

    /// The setup token, by which organizations are prepared, made if there is none.
    ///
    /// # Errors
    /// The disk.
    pub fn setup_token(&self) -> Result<String, DiskError> {
        let bytes = self.read_or_make(SETUP_TOKEN, || Ok(new_token("setup")? + "\n"))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// What is kept of the vendor's feeds; none before the first.
    ///
    /// # Errors
    /// The disk.
    pub fn vendor_feed(&self) -> Result<Option<String>, DiskError> {
        self.kept(VENDOR_FEED)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The disk.
    pub fn keep_vendor_feed(&self, text: &str) -> Result<(), DiskError> {
        self.keep(VENDOR_FEED, text)
    }

    /// What followers of the feed that is served here reported; none before the first.
    ///
    /// # Errors
    /// The disk.
    pub fn reports(&self) -> Result<Option<String>, DiskError> {
        self.kept(REPORTS)
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The disk.
    pub fn keep_reports(&self, text: &str) -> Result<(), DiskError> {
        self.keep(REPORTS, text)
    }

    fn kept(&self, name: &str) -> Result<Option<String>, DiskError> {
        let path = self.0.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::Io { path, error }),
        }
    }

    fn keep(&self, name: &str, text: &str) -> Result<(), DiskError> {
        let path = self.0.join(name);
        self.write(&path, text.as_bytes()).map_err(|error| DiskError::Io { path, error })
    }

    fn read_or_make(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, DiskError>,
    ) -> Result<Vec<u8>, DiskError> {
        let path = self.0.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = make()?;
                self.write(&path, text.as_bytes()).map_err(|error| DiskError::Io { path, error })?;
                Ok(text.into_bytes())
            }
            Err(error) => Err(DiskError::Io { path, error }),
        }
    }

    /// Whole or not at all, and on the disk when this returns.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let beside = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_folder_of(path)
    }
}

/// Creates a folder, and is sure that its name lasts; one that is there already is fine.
fn create_folder(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|folder| !folder.is_dir()).count();
    fs::create_dir_all(path)?;
    if missing == 0 {
        // Who was killed just after making it has not synced its name. Who may not open the folder above has not made it.
        return match sync_folder_of(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    path.ancestors().take(missing).try_for_each(sync_folder_of)
}

/// Makes the name of what lies at `path` last.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    fs::File::open(folder)?.sync_all()
}

fn private(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_setup_token_is_made_once_and_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let opened = Folder::open(&folder.path().join("data")).unwrap();
        let token = opened.setup_token().unwrap();
        assert_eq!(opened.setup_token().unwrap(), token);
        let mode = fs::metadata(folder.path().join("data/setup-token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let error = Folder::open(&folder.path().join("file/data")).unwrap_err().to_string();
        assert!(error.contains("file/data"), "{error}");
    }
}
