//! What a vendor's halt comes to in an organization.

use core::fmt;

use super::{Chain, ChainError, Taken};
use crate::envelope::Signed;
use crate::statement::policy::VendorHalts;

/// What a vendor's halt comes to, by the newest policy held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VendorHalt {
    /// It stops what it names.
    Stops,
    /// It was lifted, or more of its key are active than stop anything.
    Over,
    /// Nobody obeys it, and people are asked whether they halt.
    Asks,
    /// Nobody obeys it, and nobody is asked.
    Off,
    /// Its key is no vendor's here, or it is no halt that a vendor may call.
    NotOurs,
}

impl fmt::Display for VendorHalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stops => "stops",
            Self::Over => "over",
            Self::Asks => "asks",
            Self::Off => "off",
            Self::NotOurs => "not-ours",
        })
    }
}

impl Chain {
    /// What a vendor's halt comes to here, whether it was brought before or not.
    pub fn of_vendor(&self, halt: &Signed) -> VendorHalt {
        let hash = halt.hash();
        if self.halt(&hash).is_none() && !self.is_by_a_halter(halt) {
            return VendorHalt::NotOurs;
        }
        let mut chain = self.clone();
        match chain.take_halt(halt) {
            Err(ChainError::VendorHalts(VendorHalts::Ask)) => VendorHalt::Asks,
            Err(ChainError::VendorHalts(_)) => VendorHalt::Off,
            Err(_) => VendorHalt::NotOurs,
            Ok(Taken::Lifted) => VendorHalt::Over,
            Ok(_) => match chain.halt(&hash) {
                Some(held) if !held.by.are_vendors() => VendorHalt::NotOurs,
                _ if chain.active_halts().any(|active| active.hash == hash) => VendorHalt::Stops,
                _ => VendorHalt::Over,
            },
        }
    }
}
