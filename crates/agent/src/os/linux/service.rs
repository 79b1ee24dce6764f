//! Services: systemd over the system bus, systemd by `systemctl` where there is no bus, or init scripts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use countersign_trust::statement::service::{Action, Unit};

use crate::os::{ServiceError, ServiceState};

mod bus;
mod initd;
mod show;
mod systemctl;

use bus::Bus;

/// Where this machine keeps what manages its services.
#[derive(Clone, Debug)]
pub struct ServicePlaces {
    /// Is there when systemd booted the machine (sd_booted(3)).
    pub booted: PathBuf,
    /// The system bus.
    pub bus: PathBuf,
    /// systemd's own program.
    pub systemctl: PathBuf,
    /// The folder of init scripts.
    pub scripts: PathBuf,
}

impl Default for ServicePlaces {
    fn default() -> Self {
        Self {
            booted: "/run/systemd/system".into(),
            bus: "/run/dbus/system_bus_socket".into(),
            systemctl: "/usr/bin/systemctl".into(),
            scripts: "/etc/init.d".into(),
        }
    }
}

/// Whoever manages services on this machine.
#[derive(Debug)]
pub enum Services {
    /// systemd, over the system bus.
    Bus(Bus),
    /// systemd, by its program, which has a way of its own where there is no bus.
    Systemctl(PathBuf),
    /// A script for each service.
    Script(PathBuf),
}

impl Services {
    /// Finds out who manages `unit`.
    ///
    /// # Errors
    /// Nobody does.
    pub async fn open(places: &ServicePlaces, unit: &Unit) -> Result<Self, ServiceError> {
        if !places.booted.is_dir() {
            return script(&places.scripts, unit);
        }
        match Bus::open(&places.bus).await {
            Ok(bus) => Ok(Self::Bus(bus)),
            Err(_) if places.systemctl.is_file() => Ok(Self::Systemctl(places.systemctl.clone())),
            Err(error) => Err(bus::ask(unit.as_str(), &error)),
        }
    }

    /// Who it is, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bus(_) => "systemd over the system bus",
            Self::Systemctl(_) => "systemctl",
            Self::Script(_) => "an init script",
        }
    }

    /// How the unit of this name is.
    ///
    /// # Errors
    /// The service manager does not say.
    pub async fn state(&self, unit: &str) -> Result<ServiceState, ServiceError> {
        match self {
            Self::Bus(bus) => bus.state(unit).await.map_err(|error| bus::ask(unit, &error)),
            Self::Systemctl(program) => systemctl::state(program, unit).await,
            Self::Script(script) => initd::state(script, unit).await,
        }
    }

    /// The names of the units that would not be started at boot any more if this one were disabled, some of them perhaps aliases.
    ///
    /// # Errors
    /// The service manager does not say.
    pub async fn disabled_with(&self, unit: &str) -> Result<BTreeSet<String>, ServiceError> {
        let links = match self {
            Self::Bus(bus) => bus.links(unit).await.map_err(|error| bus::ask(unit, &error))?,
            Self::Systemctl(program) => systemctl::links(program, unit).await?,
            Self::Script(_) => Vec::new(),
        };
        let name = |link: &String| link.rsplit('/').next().map(str::to_owned);
        Ok(links.iter().filter_map(name).collect())
    }

    /// Does it and waits until it is done. To stop waiting, drop it: what the service manager has begun goes on.
    ///
    /// # Errors
    /// It was not done, or did not end well.
    pub async fn act(&self, action: Action, unit: &Unit) -> Result<(), ServiceError> {
        match self {
            Self::Bus(bus) => bus.act(action, unit).await,
            Self::Systemctl(program) => systemctl::act(program, action, unit).await,
            Self::Script(script) => initd::act(script, action, unit).await,
        }
    }
}

/// A script is there for a service only, and has its name.
fn script(scripts: &Path, unit: &Unit) -> Result<Services, ServiceError> {
    let name = unit.as_str().strip_suffix(".service").filter(|name| !name.contains('@'));
    let script = scripts.join(name.unwrap_or(unit.as_str()));
    match name {
        Some(_) if script.is_file() => Ok(Services::Script(script)),
        _ => Err(ServiceError::NoManager { unit: unit.to_string(), script }),
    }
}
