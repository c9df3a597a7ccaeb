//! `chancery ca`: its rollover, and `show`: the certificates that devices get to see, and the thumbprints by which people
//! compare them.

use std::path::Path;

use clap::Subcommand;
use serde_json::{Value, json};

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::{output, rollover};
use crate::config::{Ca, Config};
use crate::pki::{Certificate, Digest, name};
use crate::signer::load_certificate;

/// What to show.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the CAs' and RAs' certificates of the configuration, with their thumbprints
    Show,
    /// Lead the endpoints from one CA to the next
    #[command(subcommand)]
    Rollover(rollover::Command),
}

/// Runs `command`.
pub fn run(command: &Command, common: &Common) -> Result<(), Failure> {
    if let Command::Rollover(command) = command {
        return rollover::run(command, common);
    }
    let config = common.load()?;
    let all = all(&config)?;
    if common.json {
        return output::json(&Value::Array(all.iter().map(Shown::as_json).collect()));
    }
    let texts: Vec<String> = all.iter().map(Shown::as_text).collect();
    output::write(&texts.join("\n"))
}

/// A certificate with its place in the configuration.
struct Shown<'a> {
    key: String,
    path: &'a Path,
    certificate: Certificate,
}

fn all(config: &Config) -> Result<Vec<Shown<'_>>, Failure> {
    config.ca.iter().flat_map(|(name, ca)| places(name.as_str(), ca)).map(read).collect()
}

/// The configuration's keys that name a certificate, with what they say.
fn places<'a>(name: &str, ca: &'a Ca) -> Vec<(String, &'a Path)> {
    let mut places = vec![(format!("ca.{name}.certificate"), ca.certificate.as_path())];
    for (index, path) in ca.chain.iter().enumerate() {
        places.push((format!("ca.{name}.chain[{index}]"), path));
    }
    for (part, ra) in [("ra_decryption", &ca.ra_decryption), ("ra_signing", &ca.ra_signing)] {
        places.push((format!("ca.{name}.{part}.certificate"), ra.certificate.as_path()));
    }
    places
}

fn read((key, path): (String, &Path)) -> Result<Shown<'_>, Failure> {
    let certificate = load_certificate(path).map_err(|e| {
        let what = format!("{key} cannot be shown");
        Failure::new(Exit::Configuration, what, e, "put the certificate there or correct the path")
    })?;
    Ok(Shown { key, path, certificate })
}

impl Shown<'_> {
    /// The thumbprint in hexadecimal; none where OpenSSL refuses the digest (MD5 under FIPS).
    fn thumbprint(&self, digest: Digest) -> Option<String> {
        digest.hash(self.certificate.der()).ok().map(hex::encode)
    }

    fn as_text(&self) -> String {
        let shown =
            |digest| self.thumbprint(digest).unwrap_or_else(|| "(not possible here)".to_owned());
        format!(
            "{}: {}\n  subject:   {}\n  serial:    {}\n  not after: {}\n  SHA-256:   {}\n  \
             SHA-1:     {}\n  MD5:       {}\n",
            self.key,
            self.path.display(),
            name::display(self.certificate.subject()),
            self.certificate.serial(),
            self.certificate.not_after(),
            shown(Digest::Sha256),
            shown(Digest::Sha1),
            shown(Digest::Md5),
        )
    }

    fn as_json(&self) -> Value {
        json!({
            "key": self.key,
            "file": self.path,
            "subject": name::display(self.certificate.subject()),
            "serial": self.certificate.serial().to_string(),
            "not_after": self.certificate.not_after().to_string(),
            "sha256": self.thumbprint(Digest::Sha256),
            "sha1": self.thumbprint(Digest::Sha1),
            "md5": self.thumbprint(Digest::Md5),
        })
    }
}
