//! HTTP paths and bodies between the server and its clients. `openapi/server.json` is generated from these.
//!
//! What a server says here is only what the server says. Fields that hold signed texts are for the client to check.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where everything is. `{org}`, `{hash}` and `{device}` are printed ids.
pub mod paths {
    /// The server's version and health.
    pub const ABOUT: &str = "/v1/about";
    /// POST: prepare an organization ([`super::PrepareOrg`]).
    pub const ORGS: &str = "/v1/orgs";
    /// POST: begin it with its genesis policy ([`super::BeginOrg`]).
    pub const BEGIN: &str = "/v1/orgs/begin";
    /// GET: an organization as the server sees it.
    pub const ORG: &str = "/v1/orgs/{org}";
    /// GET: its policies, resumes and halts as a sequence of envelopes.
    pub const NEWS: &str = "/v1/orgs/{org}/news";
    /// GET: pages of statements; POST: a signed statement ([`super::PostStatement`]).
    pub const STATEMENTS: &str = "/v1/orgs/{org}/statements";
    /// GET: one statement.
    pub const STATEMENT: &str = "/v1/orgs/{org}/statements/{hash}";
    /// GET: pages of enrollments with everything needed to check them.
    pub const ENROLLMENTS: &str = "/v1/orgs/{org}/enrollments";
    /// GET: pages of devices as the server sees them.
    pub const DEVICES: &str = "/v1/orgs/{org}/devices";
    /// GET: pages of jobs.
    pub const JOBS: &str = "/v1/orgs/{org}/jobs";
    /// GET: one job with what became of it on each device.
    pub const JOB: &str = "/v1/orgs/{org}/jobs/{hash}";
    /// GET: what happens to one job, as server-sent events ([`super::JobEvent`]).
    pub const JOB_EVENTS: &str = "/v1/orgs/{org}/jobs/{hash}/events";
    /// GET: what was sent to one device for one job ([`super::DeliveryEvidence`]).
    pub const JOB_DELIVERY: &str = "/v1/orgs/{org}/jobs/{hash}/deliveries/{device}";
    /// GET: output of one job on one device.
    pub const JOB_OUTPUT: &str = "/v1/orgs/{org}/jobs/{hash}/output/{device}";
    /// GET: what is stopped now, and how many devices know ([`super::HaltView`]).
    pub const HALTS: &str = "/v1/orgs/{org}/halts";
    /// GET: pages of devices, and whether each has one halt ([`super::HaltDevice`]).
    pub const HALT_DEVICES: &str = "/v1/orgs/{org}/halts/{hash}/devices";
    /// GET: pages of receipts.
    pub const RECEIPTS: &str = "/v1/orgs/{org}/receipts";
    /// GET: pages of touched tripwires ([`super::TouchView`]), newest first.
    pub const TRIPWIRES: &str = "/v1/orgs/{org}/tripwires";
    /// GET: the API tokens, without what they are. POST: a new one.
    pub const TOKENS: &str = "/v1/orgs/{org}/tokens";
    /// DELETE: takes one back, by its SHA-256; under the setup token, or under itself.
    pub const TOKEN: &str = "/v1/orgs/{org}/tokens/{hash}";
    /// GET: the log, as c2sp.org/tlog-tiles: `checkpoint`, `tile/…`, `tile/entries/…`.
    pub const LOG: &str = "/v1/orgs/{org}/log/{*path}";
    /// GET: a log that a policy names or once named, the same way; by the SHA-256 of its origin.
    pub const LOG_NAMED: &str = "/v1/orgs/{org}/logs/{origin}/{*path}";
    /// GET: a vendor's feed that this server serves: `index`, `halts/…`, `advisories/…`.
    pub const FEED: &str = "/v1/feed/{*path}";
    /// POST: how far the halts of that feed came with one who follows it ([`super::FollowerReport`]). Needs the follower's token.
    pub const FEED_REPORTS: &str = "/v1/feed/reports";
    /// GET: what followers reported ([`super::FollowerView`]). Needs the setup token.
    pub const FEED_FOLLOWERS: &str = "/v1/feed/followers";
    /// GET: the vendor's feeds that the server follows, and what their halts come to ([`super::VendorView`]).
    pub const VENDOR: &str = "/v1/orgs/{org}/vendor";
    /// POST: the key of a log that is to take the place of the one in force ([`super::NewLog`]).
    pub const NEW_LOG: &str = "/v1/orgs/{org}/new-log";
}

/// An error, as RFC 9457 describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A stable word for programs, such as `not_found`.
    pub code: String,
    /// A sentence for people.
    pub title: String,
    /// What is wrong here, and what to do.
    pub detail: String,
    /// The HTTP status.
    pub status: u16,
}

/// The server itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct About {
    /// Its version.
    pub version: String,
    /// Its time, seconds since 1970.
    pub time: u64,
}

/// The wish to begin an organization on this server. Needs the setup token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrepareOrg {
    /// What people call it.
    pub name: String,
}

/// What the genesis policy must name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreparedOrg {
    /// To be given to `begin`.
    pub draft: String,
    /// The log's key (a vkey); its name is the log's origin.
    pub log_key: String,
    /// The server's own halt key, as an OpenSSH line.
    pub halt_key: String,
    /// Where agents connect, `host:port`.
    pub address: String,
    /// SHA-256 of the public key of the server's certificate.
    pub pin: String,
    /// An API token for the organization; shown once.
    pub token: String,
}

/// The beginning of an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeginOrg {
    /// From [`PreparedOrg`].
    pub draft: String,
    /// The genesis policy's envelope, signed by its quorum.
    pub genesis: String,
}

/// The wish for the key of another log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewLog {
    /// Another key than the one that was drawn before and that no policy in force names.
    #[serde(default)]
    pub anew: bool,
}

/// What a policy that names another log must say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewLogView {
    /// The new log's key (a vkey); its name is the log's origin.
    pub key: String,
    /// The key of the log that it is to replace.
    pub old_key: String,
    /// How many leaves of that log are cosigned here: so many can count.
    pub old_size: u64,
    /// Its root at that size.
    pub old_root: String,
}

/// An organization as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrgView {
    /// Its id.
    pub org: String,
    /// What people call it.
    pub name: String,
    /// The newest policy's number.
    pub policy_number: u64,
    /// The newest policy's hash.
    pub policy: String,
    /// The newest resume's hash.
    pub resume: Option<String>,
    /// Hashes of active halts.
    pub halts: Vec<String>,
    /// How many leaves the log has.
    pub log_size: u64,
    /// How many devices are enrolled.
    pub devices: u64,
    /// How many of them are connected.
    pub connected: u64,
}

/// The vendor's feeds that a server follows, and what their halts come to in an organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VendorView {
    /// The feeds; none if this server follows none.
    pub feeds: Vec<FeedView>,
    /// The halts that they name.
    pub halts: Vec<VendorHaltView>,
    /// The server's version.
    pub server_version: String,
    /// The hash of the halt by which this server brings no job to the organization's devices.
    pub server_stopped_by: Option<String>,
}

/// A feed that a server follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedView {
    /// Its address.
    pub url: String,
    /// The number of its index; 0 before the first.
    pub sequence: u64,
    /// When it last answered as it should, in seconds since 1970; 0 before the first.
    pub heard: u64,
    /// What is wrong with it, or nothing.
    pub trouble: String,
}

/// How far a vendor's halts came with one who follows its feed: counts, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowerReport {
    /// The server's version.
    pub version: String,
    /// The number of the newest index it has.
    pub sequence: u64,
    /// Organizations that a halt of the feed stops.
    pub stopped: u64,
    /// Organizations that are asked.
    pub asked: u64,
    /// Organizations that have the vendor's halts off.
    pub off: u64,
    /// Other organizations.
    pub others: u64,
    /// Devices of those that are stopped which are connected: they have been told.
    pub devices_told: u64,
    /// Devices of those that are stopped which are not connected; beacons may have told them.
    pub devices_away: u64,
}

/// A follower on the vendor's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FollowerView {
    /// Its name.
    pub name: String,
    /// When it reported last, in seconds since 1970; 0 if it never has.
    pub heard: u64,
    /// What it reported last.
    pub report: Option<FollowerReport>,
}

/// A halt that a feed names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VendorHaltView {
    /// Its hash.
    pub hash: String,
    /// `stops`, `over`, `asks`, `off` or `not-ours`.
    pub comes_to: String,
    /// Why it was not taken, or nothing.
    pub why: String,
    /// Its envelope.
    pub envelope: String,
}

/// A signed statement on its way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostStatement {
    /// The envelope without a proof. Signatures of several posts are put together.
    pub signed: String,
    /// For a job with a list of targets: the device ids, sorted.
    #[serde(default)]
    pub targets: Vec<String>,
}

/// A statement as the server holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatementView {
    /// Its hash.
    pub hash: String,
    /// Its kind.
    pub kind: String,
    /// `waiting` for signatures, or `logged`.
    pub state: String,
    /// What it waits for, in words; empty once logged.
    pub missing: String,
    /// The envelope: with its proof once logged.
    pub envelope: String,
    /// For a job with a list of targets: the device ids, sorted.
    pub targets: Vec<String>,
    /// When it came, seconds since 1970.
    pub received: u64,
}

/// An enrollment with everything needed to check it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrollmentEvidence {
    /// The enrollment statement's envelope with its proof.
    pub enroll: String,
    /// The join's note and its proof, for a device of a batch.
    pub join: Option<JoinEvidence>,
}

/// A join and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinEvidence {
    /// The note.
    pub note: String,
    /// Its `tlog-proof`.
    pub proof: String,
}

/// A device as the server sees it. Names and facts come from the machine: never believed, only shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// Its id.
    pub device: String,
    /// Whether it is connected.
    pub connected: bool,
    /// When it was last heard, seconds since 1970; 0 if never.
    pub last_seen: u64,
    /// The agent's version.
    pub version: String,
    /// What it calls itself.
    pub hostname: String,
    /// Its operating system.
    pub system: String,
    /// The number of the newest policy it holds.
    pub policy_number: u64,
    /// Whether its key was found to be used in two places: nothing is brought to it any more.
    #[serde(default)]
    pub stopped: bool,
    /// What it did that no agent does.
    #[serde(default)]
    pub facts: Vec<DeviceFact>,
}

/// Something a device did that a person should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceFact {
    /// `clone`, `receipts`, `gaps`, `output`, `frames` or `canaries`.
    pub kind: String,
    /// What happened, the last time.
    pub words: String,
    /// How often.
    pub times: u64,
    /// The first time, seconds since 1970.
    pub first: u64,
    /// The last time.
    pub last: u64,
    /// Notes that the device signed and that show it: of a clone, two receipts that contradict each other, if there are any.
    pub evidence: Vec<String>,
}

/// A halt that stops something now. What it says can be checked by its envelope; who has it is the server's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HaltView {
    /// Its hash.
    pub halt: String,
    /// Since when, by its author's clock, seconds since 1970.
    pub since: u64,
    /// Who called it: a person's name, `the machine …`, or `the vendor`.
    pub by: String,
    /// The fingerprint of the key that called it; of several, by commas. One signature is enough.
    pub key: String,
    /// What it covers, in words.
    pub covers: String,
    /// Why.
    pub reason: String,
    /// The envelope.
    pub envelope: String,
    /// When the server had it, seconds since 1970.
    pub received: u64,
    /// How many devices are enrolled.
    pub devices: u64,
    /// How many are connected and say that it is on their disk.
    pub have: u64,
    /// How many are connected and have not said so.
    pub lack: u64,
}

/// A device, and whether it has a halt: the device's unsigned word to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HaltDevice {
    /// Its id.
    pub device: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Whether it says that the halt is on its disk; never of one that is not connected.
    pub has: bool,
    /// When it was last heard, seconds since 1970; 0 if never.
    pub last_seen: u64,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// Its hash.
    pub hash: String,
    /// `waiting` for signatures, `logged`.
    pub state: String,
    /// What it waits for, in words.
    pub missing: String,
    /// When it came, seconds since 1970.
    pub received: u64,
    /// How many devices stand at each verdict.
    pub counts: Vec<VerdictCount>,
}

/// How many devices stand at a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerdictCount {
    /// `waiting`, `sent`, `accepted`, `refused`, `ended`, `interrupted`.
    pub verdict: String,
    /// How many.
    pub count: u64,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// The statement.
    pub statement: StatementView,
    /// What became of it on each device.
    pub devices: Vec<JobDevice>,
    /// What sets its later waves free.
    pub advances: Vec<StatementView>,
}

/// A job on one device, as far as the server has heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobDevice {
    /// The device.
    pub device: String,
    /// `waiting`, `sent`, or the newest receipt's verdict.
    pub verdict: String,
    /// The newest receipt's reason.
    pub because: String,
    /// The newest receipt, to be checked.
    pub receipt: Option<String>,
}

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum JobEvent {
    /// It was sent to a device.
    Sent {
        /// The device.
        device: String,
    },
    /// A receipt came.
    Receipt {
        /// The device.
        device: String,
        /// The note.
        note: String,
    },
    /// Output came.
    Output {
        /// The device.
        device: String,
        /// Which step, counted from 0.
        step: u64,
        /// 1 standard output, 2 standard error.
        stream: u32,
        /// The place of the first byte.
        offset: u64,
        /// The bytes in base64.
        bytes: String,
    },
    /// A device it is for was found to be a clone: nothing is brought to it any more.
    Stopped {
        /// The device.
        device: String,
        /// How that is known.
        why: String,
    },
    /// Its state changed: more signatures, or logged.
    State {
        /// `waiting` or `logged`.
        state: String,
        /// What it waits for.
        missing: String,
    },
}

/// What one device was sent for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryEvidence {
    /// The device.
    pub device: String,
    /// The challenge the Clears answer, in hexadecimal.
    pub challenge: String,
    /// The Clears.
    pub clears: Vec<ClearEvidence>,
    /// When it was sent, seconds since 1970.
    pub sent: u64,
    /// The job's `tlog-proof` in the log that was in force when it was sent, if that is another than the one with which its statement is
    /// shown.
    #[serde(default)]
    pub proof: Option<String>,
}

/// A Clear and the challenge's place in what it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClearEvidence {
    /// The note.
    pub note: String,
    /// Which leaf.
    pub index: u64,
    /// Of how many.
    pub size: u64,
    /// Hashes in base64.
    pub path: Vec<String>,
}

/// A receipt and, once it is there, its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptView {
    /// The device.
    pub device: String,
    /// Its number.
    pub number: u64,
    /// The note.
    pub note: String,
    /// Its place in the log.
    pub place: Option<ReceiptPlace>,
}

/// Where a receipt stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReceiptPlace {
    /// Which leaf of its batch.
    pub index: u64,
    /// Of how many.
    pub size: u64,
    /// Hashes in base64.
    pub path: Vec<String>,
    /// The batch's root.
    pub root: String,
    /// The batch's `tlog-proof`.
    pub proof: String,
}

/// A tripwire that was touched, or a job of which more failed than it says may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TouchView {
    /// The organization's first is 1.
    pub number: u64,
    /// The tripwire in one line, such as `refusals:50/300s:halt`; or `job` and the job's hash.
    pub tripwire: String,
    /// Since when, seconds since 1970.
    pub since: u64,
    /// When there was more of it for the last time.
    pub last: u64,
    /// How much was counted.
    pub count: u64,
    /// What it was.
    pub words: String,
    /// Notes that devices signed and that show it; of many the first. Of silence there are none: nobody says that he is silent.
    pub evidence: Vec<String>,
    /// The hash of the halt that the server made of it.
    pub halt: Option<String>,
    /// Why the server did not halt, though it was to; else empty.
    pub unhalted: String,
    /// When it was over; none as long as it is not.
    pub over: Option<u64>,
}

/// A new API token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    /// For whom or what.
    pub name: String,
    /// The token; shown once. Empty in a request.
    #[serde(default)]
    pub token: String,
}

/// An API token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its SHA-256, by which it is taken back.
    pub hash: String,
    /// For whom or what it was made.
    pub name: String,
    /// When, in seconds since 1970.
    pub created: u64,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give this as `after` for the next page; none at the end.
    pub next: Option<String>,
}
