#![no_std]
//! What is signed, byte by byte, and the rule by which an agent accepts it.
//!
//! This crate decides and does nothing else: it opens no file, reads no clock and draws no random number. A reader
//! who wants to know when a machine runs something needs these files, in this order:
//!
//! | file | what it answers |
//! | --- | --- |
//! | [`text`], [`words`] | how a statement is written down, in exactly one way |
//! | [`statement`] | what people can say |
//! | [`key`], [`sshsig`] | how people sign it |
//! | [`envelope`] | how statement and signatures travel |
//! | [`note`], [`merkle`], [`checkpoint`] | how machines sign, and what it means to stand in a witnessed log |
//! | [`signers`] | who signed: the one place where signatures are counted |
//! | [`chain`] | policies, resumes and halts: what the organization has decided so far |
//! | [`clear`], [`floor`] | whether it is certain that nobody has called a halt, and what time it is |
//! | [`join`] | which device is whose |
//! | [`delivery`], [`verify`] | **the acceptance rule** |
//! | [`feed`] | how a vendor's halts reach many organizations; nothing on a device depends on it |
//! | [`told`] | what beacons are told, and who hands over to a new one |
//! | [`receipt`], [`ledger`], [`device`] | what is said of it, what is remembered, and a device's life |
//! | [`canary`] | what a device tells of a file that nobody should touch |
extern crate alloc;

pub mod canary;
pub mod chain;
pub mod checkpoint;
pub mod clear;
pub mod delivery;
pub mod device;
pub mod envelope;
pub mod feed;
pub mod floor;
pub mod ids;
pub mod join;
pub mod key;
pub mod ledger;
pub mod lines;
pub mod merkle;
pub mod note;
pub mod receipt;
pub mod signers;
pub mod sshsig;
pub mod sshwire;
pub mod statement;
pub mod text;
pub mod time;
pub mod told;
pub mod verify;
pub mod words;
