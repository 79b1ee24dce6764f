//! What happened in July 2021, as far as it is known; the left column says nothing else. Times are UTC.

/// Something that happened then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// When.
    pub at: &'static str,
    /// What.
    pub what: &'static str,
}

const fn fact(at: &'static str, what: &'static str) -> Fact {
    Fact { at, what }
}

/// Before.
pub const REPORTED: Fact = fact(
    "April",
    "Seven flaws are reported to the vendor; four are fixed by May. About 2,200 servers face the internet.",
);
/// The beginning.
pub const FIRST: Fact = fact(
    "2 Jul ~16:30",
    "First effects. Coop Sweden's registers, manned and self-service, stop around 18:30 local time.",
);
/// How the thief came in.
pub const SESSION: Fact =
    fact("2 Jul", "A request that falls through every password comparison gets a session.");
/// How the thief's text became a program.
pub const UPLOAD: Fact = fact(
    "2 Jul",
    "An upload endpoint takes agent.crt and an ASP file named Screenshot.jpg; a report page evals the file as the server.",
);
/// What went to all.
pub const PROCEDURE: Fact =
    fact("2 Jul", "A procedure \"Kaseya VSA Agent Hot-fix\" goes to all agents at once.");
/// What a defender saw.
pub const SEEN: Fact = fact("2 Jul ~17:00", "A defender sees the agent program spawn the chain of commands.");
/// When.
pub const EVE: Fact = fact("Fri 2 Jul", "It goes to all agents at once, on a Friday evening.");
/// The delay, and what was switched off.
pub const DELAY: Fact = fact(
    "2 Jul",
    "On the machine: ping as a timer, then Defender is switched off, and an old signed MsMpEng.exe loads a planted DLL.",
);
/// The vendor.
pub const VENDOR: Fact = fact(
    "2 Jul ~18:00",
    "The vendor is alerted, about 90 minutes after the first effect; within an hour its hosted service is off.",
);
/// The others.
pub const PHONED: Fact = fact(
    "2 Jul 19:35-19:48",
    "Operators of own servers power down or are told: about 3 h 05 to 3 h 18 after the first effect.",
);
/// What was deleted.
pub const DELETED: Fact = fact("2 Jul", "Log and procedure rows are deleted.");
/// The day after.
pub const CLOSED: Fact = fact("3 Jul", "Almost all of about 800 Coop stores are closed.");
/// Recovery.
pub const BY_HAND: Fact = fact(
    "4-5 Jul",
    "Restore by hand, \"computer by computer, store by store\"; about 100 stores open by restored registers.",
);
/// Recovery.
pub const SIX_DAYS: Fact = fact("6 Jul", "About 550 of 800 are open, many by app only.");
/// Recovery.
pub const ALL_OPEN: Fact = fact("~8 Jul", "All are open; manned lanes before self-checkout.");
/// The patch.
pub const PATCH: Fact =
    fact("11 Jul 20:00", "The patch for own servers; the hosted service is back on the 12th.");
