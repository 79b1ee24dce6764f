//! What every command needs: how to talk, where things are kept, what time it is, and whose key signs.

use std::path::PathBuf;

use anyhow::anyhow;
use countersign_trust::envelope::Signed;
use countersign_trust::statement::Kind;
use countersign_trust::time::Time;
use countersign_wire::http::{PostStatement, StatementView, paths};

use crate::checked::Checked;
use crate::client::{Client, filled};
use crate::cmd::halt::words;
use crate::home::{Home, Profile};
use crate::output::{Ui, indent, plain, short, time};
use crate::prose::prose;
use crate::signer::Signer;

/// What every command needs.
pub struct Context {
    /// How to talk.
    pub ui: Ui,
    /// Where things are kept.
    pub home: Home,
    /// The time at which the program started.
    pub now: Time,
    /// The profile that was asked for.
    pub profile: Option<String>,
    /// The key that was asked for.
    pub key: Option<String>,
    /// Where the ssh-agent is.
    pub agent: Option<PathBuf>,
    /// The editor.
    pub editor: Option<String>,
}

/// An organization, its server, and what was checked of it.
pub struct Session {
    /// Who I am there.
    pub profile: Profile,
    /// Its server.
    pub server: Client,
    /// What was checked.
    pub checked: Checked,
}

impl Context {
    /// The profile asked for.
    pub fn profile(&self) -> anyhow::Result<Profile> {
        self.home.profile(self.profile.as_deref())
    }

    /// Opens the organization and checks everything anew; says what a person should know.
    pub fn open(&self) -> anyhow::Result<Session> {
        let mut session = self.open_to_mend()?;
        match session.checked.set_back.take() {
            Some(alarm) => Err(alarm.into()),
            None => Ok(session),
        }
    }

    /// The same, also where the server does not show all of the log: for whoever is to sign the policy by which the organization goes on
    /// in another. It is an alarm all the same.
    pub fn open_to_mend(&self) -> anyhow::Result<Session> {
        let profile = self.profile()?;
        let server = profile.client()?;
        let checked = Checked::fetch(&profile, &server)?;
        checked.warn(&self.ui);
        checked
            .set_back
            .iter()
            .for_each(|alarm| self.ui.alarm(alarm.to_string().trim_start_matches("ALARM: ")));
        for halt in checked.chain.active_halts() {
            let said = prose(halt.body.reason.as_str(), "all of it: countersign status --json");
            self.ui.note(&format!(
                "HALTED: {} by {} since {} ({}), because:\n{}",
                words(&halt.body.scope),
                halt.by,
                time(halt.body.made.0),
                short(&halt.hash),
                indent(&said).trim_end()
            ));
        }
        Ok(Session { profile, server, checked })
    }

    /// The key that signs for `profile`.
    pub fn signer(&self, profile: &Profile) -> anyhow::Result<Signer> {
        self.signer_of(self.key.as_deref().unwrap_or(&profile.key))
    }

    /// The key that `wish` names.
    pub fn signer_of(&self, wish: &str) -> anyhow::Result<Signer> {
        Signer::find(wish, self.agent.clone())
    }
}

impl Session {
    /// A path of the API for this organization.
    pub fn path(&self, path: &str, places: &[(&str, &str)]) -> String {
        filled(&filled(path, &[("org", &self.profile.org.to_string())]), places)
    }

    /// One statement as the server holds it.
    pub fn statement(&self, hash: &str) -> anyhow::Result<StatementView> {
        let view: StatementView = self.server.get(&self.path(paths::STATEMENT, &[("hash", hash)]))?;
        Ok(view)
    }

    /// Brings beacons a policy or resume that is logged by now, and says how far it came.
    pub fn hand_on(&self, context: &Context, kind: Kind, view: &StatementView) {
        let changes = matches!(kind, Kind::Policy | Kind::Resume) && view.missing.is_empty();
        if changes && let Err(error) = Checked::hand_on(&self.profile, &self.server, &context.ui) {
            let why = plain(&format!("{error:#}"));
            let text = format!("how far it came with beacons was not seen: {why}; run `countersign status`");
            context.ui.warn(&text);
        }
    }

    /// Brings a signed statement to the server.
    pub fn post(&self, signed: &Signed, targets: Vec<String>) -> anyhow::Result<StatementView> {
        let body = PostStatement { signed: signed.to_string(), targets };
        Ok(self.server.post(&self.path(paths::STATEMENTS, &[]), &body)?)
    }

    /// Signs a statement and brings it to the server.
    pub fn sign_and_post(
        &self,
        signer: &Signer,
        kind: Kind,
        text: String,
        targets: Vec<String>,
    ) -> anyhow::Result<(Signed, StatementView)> {
        let signature = signer.sign(kind, &text)?;
        let signed = Signed::new(text, [signature])?;
        let view = self.post(&signed, targets)?;
        Ok((signed, view))
    }
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no random numbers: {error}"))?;
    Ok(bytes)
}
