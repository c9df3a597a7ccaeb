//! `softhsm-test ca`: keys and certificates in a token.

use std::path::PathBuf;
use std::process::ExitCode;

use chancery::pki::KeyKind;
use clap::ValueEnum;
use softhsm_test::token::Token;
use softhsm_test::{Result, authority};

use super::new::{again_with, has_environment};

/// Make a root, an issuing CA and the RA's two keys in a token of `softhsm-test new`.
///
/// Writes root.pem, issuing.pem, ra-decryption.pem and ra-signing.pem into the token's folder and
/// prints a line for each key: label, CKA_ID in hexadecimal, certificate.
#[derive(Debug, clap::Args)]
pub struct Ca {
    /// The token's folder.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,

    /// The kind of the two CA keys; the RA's are RSA-2048 always.
    #[arg(long, value_enum, default_value = "rsa-2048")]
    key: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    #[value(name = "rsa-2048")]
    Rsa2048,
    #[value(name = "rsa-3072")]
    Rsa3072,
    #[value(name = "rsa-4096")]
    Rsa4096,
    #[value(name = "p-256")]
    P256,
    #[value(name = "p-384")]
    P384,
}

impl Ca {
    pub fn run(self) -> Result<ExitCode> {
        let token = Token::at(&self.dir)?;
        let Some(token) = has_environment(Some(token.clone())) else {
            return again_with(&token);
        };
        let kind = match self.key {
            Kind::Rsa2048 => KeyKind::Rsa(2048),
            Kind::Rsa3072 => KeyKind::Rsa(3072),
            Kind::Rsa4096 => KeyKind::Rsa(4096),
            Kind::P256 => KeyKind::P256,
            Kind::P384 => KeyKind::P384,
        };
        for key in authority::create(&token, kind)? {
            let id: String = key.id.iter().map(|b| format!("{b:02x}")).collect();
            println!("{} {id} {}", key.label, key.path.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
