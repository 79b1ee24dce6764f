//! What this tool remembers between calls: for each organization a profile, and what was seen and checked last.
//!
//! | file under `orgs/<profile>/` | what it holds |
//! | --- | --- |
//! | `profile.toml` | server, pin, organization, who I am, my key |
//! | `token` | the API token, for its owner's eyes only |
//! | `chain` | policies, resumes and halts that were checked; it only grows |
//! | `log.json` | how far the log was read, and what stands in it; it only grows |

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use countersign_trust::ids::{Name, OrgId, Sha256};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::os::write_private;
use crate::output::Stop;

/// The folder of everything.
#[derive(Clone, Debug)]
pub struct Home {
    folder: PathBuf,
}

/// One organization, as one person reaches it.
#[derive(Clone, Debug)]
pub struct Profile {
    folder: PathBuf,
    /// What the profile is called here.
    pub name: String,
    /// The server, as a URL.
    pub server: String,
    /// The hash of the key of the server's certificate.
    pub pin: Option<Sha256>,
    /// The organization.
    pub org: OrgId,
    /// Who I am in its policy.
    pub me: Name,
    /// My key: a file, or a fingerprint in the ssh-agent.
    pub key: String,
    /// The API token.
    pub token: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileFile {
    server: String,
    pin: String,
    org: String,
    me: String,
    key: String,
}

/// An organization that waits for signatures before it begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// What the profile will be called.
    pub profile: String,
    /// The server, as a URL.
    pub server: String,
    /// The hash of the key of its certificate.
    pub pin: String,
    /// The server's name for the draft.
    pub draft: String,
    /// The API token of the organization.
    pub token: String,
    /// The setup token of the server.
    pub setup_token: String,
    /// Who I am.
    pub me: String,
    /// My key.
    pub key: String,
}

impl Home {
    /// The home at `folder`.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The profile called `name`; without a name the only one there is.
    pub fn profile(&self, name: Option<&str>) -> anyhow::Result<Profile> {
        let names = self.profiles();
        let list = if names.is_empty() { String::new() } else { format!(": there are {}", names.join(", ")) };
        let name = match (name, names.as_slice()) {
            (Some(name), _) => name.to_owned(),
            (None, [only]) => only.clone(),
            (None, []) => {
                let what = "no organization is known here; begin one with `countersign init`, or join with `countersign login`";
                return Err(Stop::Usage(what.to_owned()).into());
            }
            (None, _) => {
                return Err(Stop::Usage(format!("say which organization with --profile{list}")).into());
            }
        };
        let folder = self.folder.join("orgs").join(&name);
        if !names.contains(&name) {
            return Err(Stop::Usage(format!("no organization `{name}` is known here{list}")).into());
        }
        Profile::read(folder, name)
    }

    /// The names of all profiles, sorted.
    pub fn profiles(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.join("orgs")).into_iter().flatten().flatten();
        let whole = entries.filter(|entry| entry.path().join("profile.toml").is_file());
        let mut names: Vec<String> = whole.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Where a new profile will stand; one of the same name must be for the same organization. [`Home::add`] writes it.
    pub fn place(&self, profile: Profile) -> anyhow::Result<Profile> {
        let folder = self.folder.join("orgs").join(&profile.name);
        if let Ok(there) = Profile::read(folder.clone(), profile.name.clone())
            && there.org != profile.org
        {
            let what = format!(
                "the profile `{}` is of {}; choose another name with --profile",
                there.name, there.org
            );
            return Err(Stop::Usage(what).into());
        }
        if !folder.join("profile.toml").exists() {
            // A login that failed may have been of another organization.
            for left in ["chain", "log.json"] {
                remove(&folder.join(left))?;
            }
        }
        Ok(Profile { folder, ..profile })
    }

    /// Writes a new profile; one of the same name must be for the same organization.
    pub fn add(&self, profile: Profile) -> anyhow::Result<Profile> {
        let profile = if profile.folder.as_os_str().is_empty() { self.place(profile)? } else { profile };
        profile.write()?;
        Ok(profile)
    }

    /// Keeps a draft until its genesis policy is signed.
    pub fn add_draft(&self, genesis: &Sha256, draft: &Draft) -> anyhow::Result<()> {
        let path = self.draft_path(genesis);
        write_private(&path, toml::to_string(draft)?.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The draft of this genesis policy.
    pub fn draft(&self, genesis: &Sha256) -> anyhow::Result<Draft> {
        let path = self.draft_path(genesis);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{genesis} was not begun here: no {}", path.display()))?;
        Ok(toml::from_str(&text)?)
    }

    /// Forgets the draft of this genesis policy: it holds the server's setup token.
    pub fn remove_draft(&self, genesis: &Sha256) -> anyhow::Result<()> {
        remove(&self.draft_path(genesis))
    }

    fn draft_path(&self, genesis: &Sha256) -> PathBuf {
        self.folder.join("drafts").join(format!("{genesis}.toml"))
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Profile {
    /// A profile that is not written yet; [`Home::add`] does.
    pub fn new(
        name: String,
        server: String,
        pin: Option<Sha256>,
        org: OrgId,
        me: Name,
        key: String,
        token: String,
    ) -> Self {
        Self { folder: PathBuf::new(), name, server, pin, org, me, key, token }
    }

    fn read(folder: PathBuf, name: String) -> anyhow::Result<Self> {
        let path = folder.join("profile.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file: ProfileFile =
            toml::from_str(&text).with_context(|| format!("{} is damaged", path.display()))?;
        let wrong = |what: &str| anyhow!("{}: {what} is damaged", path.display());
        let token = std::fs::read_to_string(folder.join("token")).unwrap_or_default();
        Ok(Self {
            name,
            server: file.server,
            pin: if file.pin.is_empty() { None } else { Some(file.pin.parse().map_err(|_| wrong("pin"))?) },
            org: file.org.parse().map_err(|_| wrong("org"))?,
            me: file.me.parse().map_err(|_| wrong("me"))?,
            key: file.key,
            token: token.trim().to_owned(),
            folder,
        })
    }

    fn write(&self) -> anyhow::Result<()> {
        let file = ProfileFile {
            server: self.server.clone(),
            pin: self.pin.map(|pin| pin.to_string()).unwrap_or_default(),
            org: self.org.to_string(),
            me: self.me.to_string(),
            key: self.key.clone(),
        };
        self.keep("profile.toml", toml::to_string(&file)?.as_bytes())?;
        self.keep("token", format!("{}\n", self.token).as_bytes())
    }

    /// The client of the organization's server.
    pub fn client(&self) -> anyhow::Result<Client> {
        let token = (!self.token.is_empty()).then(|| self.token.clone());
        Client::new(&self.server, self.pin, token)
    }

    /// What was kept under `file`, if anything.
    pub fn kept(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.join(file)).ok()
    }

    /// Keeps `bytes` under `file`.
    pub fn keep(&self, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        write_private(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The home that the environment names: COUNTERSIGN_HOME, else `countersign` in the folder for configuration.
pub fn default_home(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let in_config =
        variable("XDG_CONFIG_HOME").filter(|path| Path::new(path).is_absolute()).map(PathBuf::from);
    let in_config = in_config.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".config")));
    let in_config = in_config.or_else(|| variable("APPDATA").map(PathBuf::from));
    variable("COUNTERSIGN_HOME")
        .map(PathBuf::from)
        .or_else(|| in_config.map(|folder| folder.join("countersign")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, org: u8) -> Profile {
        let pin = Some(Sha256([3; 32]));
        let (org, me) = (OrgId([org; 32]), "anna".parse().unwrap());
        Profile::new(
            name.to_owned(),
            "https://a:1".to_owned(),
            pin,
            org,
            me,
            "id.pub".to_owned(),
            "secret".to_owned(),
        )
    }

    #[test]
    fn a_profile_reads_back_and_is_the_default_while_it_is_the_only_one() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_path_buf());
        assert!(home.profile(None).unwrap_err().to_string().contains("countersign init"));
        home.add(profile("home", 1)).unwrap();
        let read = home.profile(None).unwrap();
        assert_eq!(
            (read.org, read.token.as_str(), read.pin),
            (OrgId([1; 32]), "secret", Some(Sha256([3; 32])))
        );
        home.add(profile("work", 2)).unwrap();
        assert!(home.profile(None).unwrap_err().to_string().contains("home, work"));
        assert_eq!(home.profile(Some("work")).unwrap().org, OrgId([2; 32]));
    }

    #[test]
    fn a_profile_is_never_turned_into_another_organizations() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_path_buf());
        home.add(profile("home", 1)).unwrap();
        assert!(home.add(profile("home", 1)).is_ok());
        assert!(home.add(profile("home", 2)).unwrap_err().to_string().contains("choose another name"));
    }

    #[test]
    fn a_profile_that_only_has_a_place_is_none_and_what_it_left_behind_is_not_taken_for_anothers() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_path_buf());
        let placed = home.place(profile("home", 1)).unwrap();
        placed.keep("chain", b"of organization 1").unwrap();
        assert_eq!(home.profiles(), Vec::<String>::new());
        let other = home.place(profile("home", 2)).unwrap();
        assert_eq!(other.kept("chain"), None);
        other.keep("chain", b"of organization 2").unwrap();
        home.add(other).unwrap();
        assert_eq!(home.profile(None).unwrap().org, OrgId([2; 32]));
        let again = home.place(profile("home", 2)).unwrap();
        assert_eq!(again.kept("chain").as_deref(), Some("of organization 2"));
    }

    #[test]
    fn a_draft_is_gone_once_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_path_buf());
        let genesis = Sha256([7; 32]);
        let [profile, server, pin, draft, token, setup_token, me, key] =
            ["home", "https://a:1", "", "d", "t", "secret", "anna", "id.pub"].map(str::to_owned);
        home.add_draft(&genesis, &Draft { profile, server, pin, draft, token, setup_token, me, key })
            .unwrap();
        assert_eq!(home.draft(&genesis).unwrap().setup_token, "secret");
        home.remove_draft(&genesis).unwrap();
        assert!(home.draft(&genesis).unwrap_err().to_string().contains("was not begun here"));
        home.remove_draft(&genesis).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("drafts")).unwrap().count(), 0);
    }

    #[test]
    fn the_home_is_where_the_environment_says() {
        let of = |set: &'static [(&str, &str)]| {
            default_home(|name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[("HOME", "/h")]), Some(PathBuf::from("/h/.config/countersign")));
        assert_eq!(of(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")]), Some(PathBuf::from("/c/countersign")));
        assert_eq!(of(&[("HOME", "/h"), ("COUNTERSIGN_HOME", "/x")]), Some(PathBuf::from("/x")));
        assert_eq!(of(&[]), None);
    }
}
