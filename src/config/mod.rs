//! The configuration: a versioned TOML schema, loading, cross-checks with file, line, key and remedy (I9).
//! Owns: names and defaults of settings. Never: a secret, only the places where secrets are.
//!
//! Each section is declared once, by `section!` in `schema`: the declaration is the type, the reader,
//! the defaults and the text of `chancery config explain`.

mod ca;
mod certificates;
mod cross;
mod duration;
mod effective;
mod endpoint;
mod error;
mod explain;
mod files;
mod ledger;
mod load;
mod model;
mod profile;
mod reader;
mod refuse;
mod reload;
mod roles;
mod schema;
mod seal;
mod show;
mod suggest;
mod token;
mod users;
mod values;

#[cfg(test)]
mod tests;

pub use ca::{Ca, Crl, RaKey};
pub use duration::parse_duration;
pub use endpoint::{
    Algorithms, Approval, CaCertPart, CertRepChain, ChallengeStorage, DuplicateSubject, Endpoint,
    NameRule, Renewal, UrlPath,
};
pub use error::ConfigError;
pub use explain::{explain, reference, reference_json};
pub use files::Role;
pub use ledger::{AnchorObject, Ledger, Publish, Witness};
pub use load::{admin_socket, load, load_for, parse, reload};
pub use model::{
    Config, Frontend, Log, LogLevel, Signer, UnknownQueries, UnopenedEnvelopes, WrongChallenges,
};
pub use profile::{
    ExtendedKeyUsage, HttpUrl, KeyType, KeyUsage, OtherNames, Profile, SanKind, SanRules,
    SubjectAttribute, SubjectRules,
};
pub use seal::SealKey;
pub use show::{Shown, show};
pub use token::{Environment, KeyId, KeyPlace, Token, VendorProfile};
pub use users::uid_of;
pub use values::Name;
