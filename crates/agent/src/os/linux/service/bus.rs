//! systemd over the system bus.
//!
//! Source: org.freedesktop.systemd1(5).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::pin::{Pin, pin};

use countersign_trust::statement::service::{Action, Unit};
use zbus::connection::Builder;
use zbus::export::futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, DynamicType, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant};

use super::show;
use crate::os::{ServiceError, ServiceState};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const ROOT: &str = "/org/freedesktop/systemd1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// An order takes the place of a contrary one that waits.
const MODE: &str = "replace";

/// A connection to the system bus.
#[derive(Debug)]
pub struct Bus(Connection);

/// What happens to the files that say what is started at boot: of which kind, where, and to what it leads.
type Changes = Vec<(String, String, String)>;

impl Bus {
    pub(super) async fn open(socket: &Path) -> zbus::Result<Self> {
        Builder::address(format!("unix:path={}", socket.display()).as_str()).build().await.map(Self)
    }

    pub(super) async fn state(&self, unit: &str) -> zbus::Result<ServiceState> {
        let path: OwnedObjectPath = self.manager("LoadUnit", &(unit,)).await?.body().deserialize()?;
        let mut properties = BTreeMap::new();
        let all = self.ask(&path, PROPERTIES, "GetAll", &("org.freedesktop.systemd1.Unit",)).await?;
        let mut all: HashMap<String, OwnedVariant> = all.body().deserialize()?;
        for name in show::UNIT {
            properties.extend(all.remove(name).map(|value| (name.to_owned(), text(value))));
        }
        if unit.ends_with(".service") {
            for name in show::SERVICE {
                let one = ("org.freedesktop.systemd1.Service", name);
                let value = self.ask(&path, PROPERTIES, "Get", &one).await?;
                properties.insert(name.to_owned(), text(value.body().deserialize()?));
            }
        }
        Ok(show::state(&properties))
    }

    pub(super) async fn act(&self, action: Action, unit: &Unit) -> Result<(), ServiceError> {
        let name = unit.as_str();
        let refused =
            |error: zbus::Error| ServiceError::Refused { action, unit: unit.to_string(), said: said(&error) };
        let method = match action {
            Action::Status => return Ok(()),
            Action::Enable => return self.enable(name).await.map_err(refused),
            Action::Disable => return self.disable(name).await.map_err(refused),
            Action::Start => "StartUnit",
            Action::Stop => "StopUnit",
            Action::Restart => "RestartUnit",
            Action::Reload => "ReloadUnit",
        };
        let result = self.order(method, name).await.map_err(refused)?;
        if result == "done" {
            return Ok(());
        }
        Err(ServiceError::Result { action, unit: unit.to_string(), result })
    }

    /// Has systemd make a job of it, and waits until that job is gone: how it ended, in systemd's word.
    async fn order(&self, method: &str, unit: &str) -> zbus::Result<String> {
        let rule = MatchRule::builder().msg_type(Type::Signal).sender(SYSTEMD).interface(MANAGER);
        let rule = rule.member("JobRemoved").build()?;
        let mut signals = MessageStream::for_match_rule(rule, &self.0, None).await?;
        self.manager("Subscribe", &()).await?;
        // Other jobs end too. Their signals must not fill the queue behind which the answer waits.
        let body = (unit, MODE);
        let (mut removed, mut call) = (BTreeMap::new(), pin!(self.manager(method, &body)));
        let job: OwnedObjectPath = loop {
            tokio::select! {
                answer = &mut call => break answer?.body().deserialize()?,
                signal = next(&mut signals) => removed.extend(ended(signal?)),
            }
        };
        loop {
            if let Some(result) = removed.remove(job.as_str()) {
                return Ok(result);
            }
            removed.clear();
            removed.extend(ended(next(&mut signals).await?));
        }
    }

    async fn enable(&self, unit: &str) -> zbus::Result<()> {
        let (runtime, force) = (false, false);
        let answer = self.manager("EnableUnitFiles", &(vec![unit], runtime, force)).await?;
        let (_carries_install, _changes): (bool, Changes) = answer.body().deserialize()?;
        self.manager("Reload", &()).await.map(drop)
    }

    async fn disable(&self, unit: &str) -> zbus::Result<()> {
        let answer = self.manager("DisableUnitFiles", &(vec![unit], false)).await?;
        let _changes: Changes = answer.body().deserialize()?;
        self.manager("Reload", &()).await.map(drop)
    }

    /// The links that disabling `unit` would remove, with those of whatever its file names in `Also=`: systemd's own dry run.
    pub(super) async fn links(&self, unit: &str) -> zbus::Result<Vec<String>> {
        let runtime = false;
        self.manager("GetUnitFileLinks", &(unit, runtime)).await?.body().deserialize()
    }

    async fn manager(
        &self,
        method: &str,
        body: &(impl serde::Serialize + DynamicType),
    ) -> zbus::Result<Message> {
        self.0.call_method(Some(SYSTEMD), ROOT, Some(MANAGER), method, body).await
    }

    async fn ask(
        &self,
        path: &OwnedObjectPath,
        interface: &str,
        method: &str,
        body: &(impl serde::Serialize + DynamicType),
    ) -> zbus::Result<Message> {
        self.0.call_method(Some(SYSTEMD), path, Some(interface), method, body).await
    }
}

async fn next(signals: &mut MessageStream) -> zbus::Result<Message> {
    let next = std::future::poll_fn(|context| Pin::new(&mut *signals).poll_next(context)).await;
    next.unwrap_or_else(|| {
        Err(zbus::Error::InputOutput(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()))
    })
}

/// Which job has ended, and how.
fn ended(signal: Message) -> Option<(String, String)> {
    let body = signal.body();
    let (_id, job, _unit, result): (u32, OwnedObjectPath, String, String) = body.deserialize().ok()?;
    Some((job.as_str().to_owned(), result))
}

/// A property as `systemctl show` prints it. Of other types than these none is asked for.
fn text(value: OwnedVariant) -> String {
    let number = u32::try_from(&value).map(|number| number.to_string());
    let word = number.or_else(|_| <&str>::try_from(&value).map(str::to_owned));
    word.or_else(|_| Vec::<String>::try_from(value).map(|list| list.join(" "))).unwrap_or_default()
}

/// What systemd said, without the name of the error where it said anything.
fn said(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(_, Some(said), _) => said.clone(),
        other => other.to_string(),
    }
}

pub(super) fn ask(unit: &str, error: &zbus::Error) -> ServiceError {
    ServiceError::Ask { manager: "systemd", unit: unit.to_owned(), said: said(error) }
}
