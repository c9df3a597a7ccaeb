//! One entry and its canonical encoding: DER, version 1 (`docs/ledger-format.md`).

use std::fmt;
use std::net::IpAddr;

use der::asn1::Null;
use der::{AnyRef, Choice, Decode, Encode, Enumerated, SliceReader, Tag, Tagged};

use super::{Bytes, Event, Fingerprint};
use crate::clock::Timestamp;

/// The greatest length of an encoded entry in bytes: what an entry bundle of tlog-tiles can hold.
pub const MAX_ENTRY_LEN: usize = 65_535;

/// The version of the encoding that this program writes.
pub const ENTRY_VERSION: u16 = 1;

/// An entry's place in the ledger, counted from zero; also its index in the Merkle tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What is to be recorded; sequence and time are given at the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who did it.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// What it was done to: a serial, a transaction, a file; for reading, not for look-ups.
    pub object: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was done.
    pub event: Event,
}

impl Draft {
    /// A successful act of the system itself.
    pub fn of_system(object: impl Into<String>, event: Event) -> Self {
        Self {
            actor: Actor::System,
            origin: Origin::Internal,
            object: object.into(),
            outcome: Outcome::Success,
            event,
        }
    }
}

/// One entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub sequence: Sequence,
    /// When it was committed, by the signer's clock.
    pub time: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// From where.
    pub origin: Origin,
    /// What it was done to.
    pub object: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was done.
    pub event: Event,
}

/// Who did what an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The signer itself.
    System,
    /// Somebody who proved nothing.
    Anonymous,
    /// A local user, by the uid that the kernel reports.
    Uid(u32),
    /// An officer, by the fingerprint of the certificate.
    Officer(Fingerprint),
    /// A device, by the fingerprint of the public key that signed its request.
    Device(Fingerprint),
}

/// Where what an entry records came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// From within the signer.
    Internal,
    /// From a process on this host, by its process ID.
    Process(u32),
    /// From a network address.
    Address(IpAddr),
}

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Enumerated)]
#[repr(u8)]
pub enum Outcome {
    /// As it was meant to.
    Success = 0,
    /// It failed or was refused.
    Failure = 1,
}

/// Why bytes are no entry, or an entry cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The encoding is damaged or not canonical.
    #[error("the entry's encoding is damaged: {0}")]
    Malformed(String),
    /// The entry was written by a later version of the program.
    #[error(
        "the entry has version {0}, this program reads version {ENTRY_VERSION}: use a newer chancery"
    )]
    UnknownVersion(u16),
    /// The entry does not fit into a bundle.
    #[error("the entry has {0} bytes, more than {MAX_ENTRY_LEN}")]
    TooLarge(usize),
}

impl From<der::Error> for EntryError {
    fn from(e: der::Error) -> Self {
        Self::Malformed(e.to_string())
    }
}

impl Entry {
    /// The entry of `draft` at its place.
    pub fn new(sequence: Sequence, time: Timestamp, draft: Draft) -> Self {
        let Draft { actor, origin, object, outcome, event } = draft;
        Self { sequence, time, actor, origin, object, outcome, event }
    }

    /// The canonical bytes: what is stored, and the leaf of the Merkle tree.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let encoded = Encoded {
            version: ENTRY_VERSION,
            sequence: self.sequence.0,
            time: self.time.unix_millis(),
            actor: self.actor.into(),
            origin: self.origin.into(),
            object: self.object.clone(),
            outcome: self.outcome,
            event: self.event.clone(),
        };
        let der = encoded.to_der()?;
        if der.len() > MAX_ENTRY_LEN { Err(EntryError::TooLarge(der.len())) } else { Ok(der) }
    }

    /// Refuses an unknown version by its number, whatever follows it.
    pub fn check_version(der: &[u8]) -> Result<(), EntryError> {
        let outer = AnyRef::from_der(der)?;
        outer.tag().assert_eq(Tag::Sequence)?;
        match u16::decode(&mut SliceReader::new(outer.value())?)? {
            ENTRY_VERSION => Ok(()),
            version => Err(EntryError::UnknownVersion(version)),
        }
    }

    /// Reads the canonical bytes of one entry; an unknown version is refused by its number.
    pub fn decode(der: &[u8]) -> Result<Self, EntryError> {
        Self::check_version(der)?;
        let read = Encoded::from_der(der)?;
        Ok(Self {
            sequence: Sequence(read.sequence),
            time: Timestamp::from_unix_millis(read.time),
            actor: read.actor.into(),
            origin: read.origin.try_into()?,
            object: read.object,
            outcome: read.outcome,
            event: read.event,
        })
    }
}

#[derive(der::Sequence)]
struct Encoded {
    version: u16,
    sequence: u64,
    time: u64,
    actor: EncodedActor,
    origin: EncodedOrigin,
    object: String,
    outcome: Outcome,
    event: Event,
}

#[derive(Choice)]
enum EncodedActor {
    #[asn1(context_specific = "0", constructed = "true", tag_mode = "EXPLICIT")]
    System(Null),
    #[asn1(context_specific = "1", constructed = "true", tag_mode = "EXPLICIT")]
    Anonymous(Null),
    #[asn1(context_specific = "2", constructed = "true", tag_mode = "EXPLICIT")]
    Uid(u32),
    #[asn1(context_specific = "3", constructed = "true", tag_mode = "EXPLICIT")]
    Officer(Fingerprint),
    #[asn1(context_specific = "4", constructed = "true", tag_mode = "EXPLICIT")]
    Device(Fingerprint),
}

impl From<Actor> for EncodedActor {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::System => Self::System(Null),
            Actor::Anonymous => Self::Anonymous(Null),
            Actor::Uid(uid) => Self::Uid(uid),
            Actor::Officer(f) => Self::Officer(f),
            Actor::Device(f) => Self::Device(f),
        }
    }
}

impl From<EncodedActor> for Actor {
    fn from(actor: EncodedActor) -> Self {
        match actor {
            EncodedActor::System(_) => Self::System,
            EncodedActor::Anonymous(_) => Self::Anonymous,
            EncodedActor::Uid(uid) => Self::Uid(uid),
            EncodedActor::Officer(f) => Self::Officer(f),
            EncodedActor::Device(f) => Self::Device(f),
        }
    }
}

#[derive(Choice)]
enum EncodedOrigin {
    #[asn1(context_specific = "0", constructed = "true", tag_mode = "EXPLICIT")]
    Internal(Null),
    #[asn1(context_specific = "1", constructed = "true", tag_mode = "EXPLICIT")]
    Process(u32),
    #[asn1(context_specific = "2", constructed = "true", tag_mode = "EXPLICIT")]
    Address(Bytes),
}

impl From<Origin> for EncodedOrigin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Internal => Self::Internal(Null),
            Origin::Process(pid) => Self::Process(pid),
            Origin::Address(IpAddr::V4(a)) => Self::Address(a.octets().as_slice().into()),
            Origin::Address(IpAddr::V6(a)) => Self::Address(a.octets().as_slice().into()),
        }
    }
}

impl TryFrom<EncodedOrigin> for Origin {
    type Error = EntryError;

    fn try_from(origin: EncodedOrigin) -> Result<Self, EntryError> {
        let octets = match origin {
            EncodedOrigin::Internal(_) => return Ok(Self::Internal),
            EncodedOrigin::Process(pid) => return Ok(Self::Process(pid)),
            EncodedOrigin::Address(octets) => octets,
        };
        if let Ok(v4) = <[u8; 4]>::try_from(&*octets) {
            return Ok(Self::Address(v4.into()));
        }
        match <[u8; 16]>::try_from(&*octets) {
            Ok(v6) => Ok(Self::Address(v6.into())),
            Err(_) => Err(EntryError::Malformed(format!("an address of {} octets", octets.len()))),
        }
    }
}
