//! The commands, a file for each noun.

pub mod approve;
pub mod audit;
pub mod device;
pub mod enroll;
pub mod evidence;
pub mod halt;
pub mod inbox;
pub mod init;
pub mod job;
pub mod log;
pub mod login;
pub mod person;
pub mod policy;
pub mod resume;
pub mod run;
pub mod service;
pub mod status;
pub mod token;
pub mod tripwire;
pub mod vendor;

use std::process::ExitCode;

use crate::args::Command;
use crate::context::Context;

/// Does what was typed.
pub fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::Run(args) => return run::run(context, args),
        Command::Service(args) => return service::run(context, args),
        Command::Job(command) => return job::run(context, command),
        Command::Halt(args) => return halt::run(context, args),
        Command::Vendor(command) => return vendor::run(context, command),
        Command::Init(args) => init::run(context, args),
        Command::Login(args) => login::run(context, args),
        Command::Inbox => inbox::run(context),
        Command::Approve(args) => approve::run(context, &args),
        Command::Resume(args) => resume::run(context, args),
        Command::Enroll(command) => enroll::run(context, command),
        Command::Device(command) => device::run(context, command),
        Command::Person(command) => person::run(context, command),
        Command::Policy(command) => policy::run(context, command),
        Command::Tripwire(command) => tripwire::run(context, &command),
        Command::Log(command) => log::run(context, command),
        Command::Audit(args) => audit::run(context, &args),
        Command::Evidence(args) => evidence::run(context, &args),
        Command::Token(command) => token::run(context, command),
        Command::Status => status::run(context),
    };
    done.map(|()| ExitCode::SUCCESS)
}
