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
mod load;
mod model;
mod profile;
mod reader;
mod refuse;
mod roles;
mod schema;
mod suggest;
mod token;
mod values;

#[cfg(test)]
mod tests;

pub use ca::{Ca, Crl, RaKey};
pub use duration::parse_duration;
pub use endpoint::{
    Algorithms, Approval, CaCertPart, CertRepChain, DuplicateSubject, Endpoint, NameRule, Renewal,
    UrlPath,
};
pub use error::ConfigError;
pub use explain::{explain, reference};
pub use files::Role;
pub use load::{load, load_for, parse};
pub use model::{Config, Frontend, Log, LogLevel, Signer, WrongChallenges};
pub use profile::{
    ExtendedKeyUsage, HttpUrl, KeyType, KeyUsage, OtherNames, Profile, SanKind, SanRules,
    SubjectAttribute, SubjectRules,
};
pub use token::{Environment, KeyId, KeyPlace, Token, VendorProfile};
pub use values::Name;
