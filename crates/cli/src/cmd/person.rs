//! `countersign person`: who may sign.

use clap::Subcommand;
use countersign_trust::ids::Name;
use countersign_trust::statement::policy::{Person, PersonKey, Policy};
use serde_json::{Value, json};

use super::policy::propose;
use crate::args::name;
use crate::cmd::init::person;
use crate::context::Context;
use crate::output::{Stop, table};

/// Who may sign. A change is a new policy: it takes the policy quorum.
#[derive(Debug, Subcommand)]
pub enum PersonCommand {
    /// Everybody who may sign, with roles and keys.
    List,
    /// Add a person, or another key of one.
    #[command(after_long_help = "Example:\n  countersign person add cy=cy.pub --role operator")]
    Add {
        /// `name=KEY`, where KEY is an id_*.pub or its text.
        #[arg(value_name = "NAME=KEY")]
        person: String,
        /// A role to give; repeat it for more.
        #[arg(long = "role", value_parser = name)]
        roles: Vec<Name>,
    },
    /// Remove a person, or one key of a person.
    Remove {
        /// Who.
        #[arg(value_parser = name)]
        person: Name,
        /// Only the key with this fingerprint.
        #[arg(long, value_name = "SHA256:…")]
        fingerprint: Option<String>,
    },
}

/// Runs it.
pub fn run(context: &Context, command: PersonCommand) -> anyhow::Result<()> {
    let session = context.open()?;
    let policy = &session.checked.chain.policy().body;
    let mut changed: Policy = session.checked.chain.next_policy();
    match command {
        PersonCommand::List => {
            list(context, policy);
            return Ok(());
        }
        PersonCommand::Add { person: wish, roles } => {
            let (name, key) = person(&wish)?;
            changed
                .people
                .entry(name.clone())
                .or_insert_with(|| Person { keys: Vec::new() })
                .keys
                .push(PersonKey { key, same_origin: false });
            for role in roles {
                let people = changed
                    .roles
                    .get_mut(&role)
                    .ok_or_else(|| Stop::Usage(format!("there is no role {role}")))?;
                people.insert(name.clone());
            }
        }
        PersonCommand::Remove { person, fingerprint } => {
            remove(&mut changed, &person, fingerprint.as_deref())?
        }
    }
    propose(context, &session, &changed)
}

fn remove(policy: &mut Policy, name: &Name, fingerprint: Option<&str>) -> Result<(), Stop> {
    let nobody = || Stop::Usage(format!("the policy names no {name}"));
    let person = policy.people.get_mut(name).ok_or_else(nobody)?;
    if let Some(fingerprint) = fingerprint {
        let before = person.keys.len();
        person.keys.retain(|held| held.key.fingerprint() != fingerprint);
        return match person.keys.len() {
            0 => Err(Stop::Usage(format!("that is the only key of {name}; remove the person instead"))),
            after if after == before => Err(Stop::Usage(format!("{name} has no key {fingerprint}"))),
            _ => Ok(()),
        };
    }
    policy.people.remove(name);
    policy.roles.values_mut().for_each(|people| {
        people.remove(name);
    });
    Ok(())
}

fn list(context: &Context, policy: &Policy) {
    let roles = |name: &Name| -> Vec<String> {
        policy
            .roles
            .iter()
            .filter(|(_, people)| people.contains(name))
            .map(|(role, _)| role.to_string())
            .collect()
    };
    let json: Vec<Value> = policy
        .people
        .iter()
        .map(|(name, person)| {
            let keys: Vec<String> = person.keys.iter().map(|held| held.key.to_string()).collect();
            json!({"person": name.to_string(), "roles": roles(name), "keys": keys})
        })
        .collect();
    context.ui.answer(&json!({"people": json, "policy": policy.number}), || {
        let mut rows = Vec::new();
        for (name, person) in &policy.people {
            for (number, held) in person.keys.iter().enumerate() {
                let (who, what) =
                    if number == 0 { (name.to_string(), roles(name).join(", ")) } else { Default::default() };
                rows.push(vec![who, what, held.key.fingerprint(), held.key.algorithm().to_string()]);
            }
        }
        table(&["PERSON", "ROLES", "KEY", "KIND"], &rows)
    });
}
