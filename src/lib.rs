//! Chancery: a certificate authority whose keys live in a PKCS#11 HSM and whose devices enrol
//! over SCEP (RFC 8894).
//!
//! The parts and who may import whom are drawn in `ARCHITECTURE.md`; `tests/it/layers.rs` checks
//! the `use` lines against that drawing. From the top: [`cli`]; the roles [`frontend`], [`signer`] and
//! [`ceremony`]; the adapters [`hsm`], [`store`], [`http`], [`wire`], [`telemetry`] and [`config`];
//! the domain [`ra`], [`issuance`], [`ledger`], [`signing`] and [`revocation`]; what is pure: [`scep`],
//! [`cms`], [`pki`], [`clock`], [`random`] and [`secret`]; under all of it [`control`].

#![forbid(unsafe_code)]

pub mod cli;

pub mod ceremony;
pub mod frontend;
pub mod signer;

pub mod config;
pub mod hsm;
pub mod http;
pub mod store;
pub mod telemetry;
pub mod wire;

pub mod issuance;
pub mod ledger;
pub mod ra;
pub mod revocation;
pub mod signing;

pub mod cms;
pub mod pki;
pub mod scep;

pub mod clock;
pub mod control;
pub mod random;
pub mod secret;
