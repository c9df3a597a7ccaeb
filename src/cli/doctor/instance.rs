//! An instance by its configuration: files, certificates, policy; then the running signer, and each
//! endpoint over HTTP on this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

use super::finding::Report;
use super::http::Endpoint;
use super::thumbprint::Thumbprints;
use super::{authority, device, running, token};
use crate::cli::command::Common;
use crate::cli::environment;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::config::{self, Ca, Config, ConfigError, Role};
use crate::issuance::Issuer;
use crate::pki::extension::KeyUsage;
use crate::pki::{Certificate, name};
use crate::signer::load_certificate;

/// Looks at everything that can be seen from here.
pub(super) fn examine(
    report: &mut Report,
    common: &Common,
    runtime: &tokio::runtime::Runtime,
) -> Result<(), Failure> {
    let config = match config::load(&common.config) {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|e| misconfigured(report, e));
            return Ok(());
        }
    };
    files(report, &config, common);
    for (name, ca) in &config.ca {
        examine_ca(report, name.as_str(), ca, &config);
    }
    policy(report, &config);
    synchronised(report);
    let served = running::examine(report, &config, common);
    if served.is_none() {
        // The module reads its environment when it is loaded.
        environment::settle(&config)?;
        for (name, settings) in &config.token {
            token::look(report, &config, (name, settings));
        }
    }
    let served = served.unwrap_or_default();
    for (name, settings) in &config.endpoint {
        let Some(address) = reachable(&config) else {
            let cause = "frontend.listen has port 0, so its address is not known here";
            let next = "run `chancery doctor --url URL` with the URL that devices have";
            report.notice("transport", format!("endpoint.{name}"), cause, next);
            continue;
        };
        let endpoint = Endpoint::at(address, settings.path.as_str());
        runtime.block_on(device::examine(report, &endpoint, served.get(name.as_str())));
    }
    Ok(())
}

fn misconfigured(report: &mut Report, e: &ConfigError) {
    let thing = match e.line {
        0 => e.file.display().to_string(),
        line => {
            format!("{} (line {line})", if e.key.is_empty() { "the configuration" } else { &e.key })
        }
    };
    let (problem, remedy) = (e.problem.as_str(), e.remedy.as_str());
    report.error(Exit::Configuration, "configuration", thing, problem, remedy);
}

/// The files, where this user may see those of the signer.
fn files(report: &mut Report, config: &Config, common: &Common) {
    let user = rustix::process::geteuid().as_raw();
    let owner = std::fs::metadata(&config.signer.state_dir).map(|m| m.uid());
    if user != 0 && owner.as_ref().is_ok_and(|owner| *owner != user) {
        let cause = "the signer's files belong to another user and were not looked at";
        report.notice(
            "configuration",
            "the files",
            cause,
            "run this as root or as the signer's user",
        );
        return;
    }
    match config::load_for(&common.config, Role::Both) {
        Ok(_) => {
            let (thing, path) = ("the configuration", common.config.display());
            report.good(
                "configuration",
                thing,
                format!("{path} has no error, and its files are in order"),
            );
        }
        Err(errors) => errors.iter().for_each(|e| misconfigured(report, e)),
    }
}

fn examine_ca(report: &mut Report, name: &str, ca: &Ca, config: &Config) {
    let mut read = |key: String, path: &std::path::Path| match load_certificate(path) {
        Ok(certificate) => {
            authority::validity(report, &key, &certificate);
            report.thumbprints(Thumbprints::new(authority::role(&certificate), &certificate));
            Some(certificate)
        }
        Err(e) => {
            let next = "put the certificate there, PEM or DER, or correct the path";
            report.error(Exit::Configuration, "certificates", key, e.to_string(), next);
            None
        }
    };
    let certificate = read(format!("ca.{name}.certificate"), &ca.certificate);
    let chain = ca.chain.iter().enumerate();
    let chain: Vec<_> =
        chain.map(|(at, path)| read(format!("ca.{name}.chain[{at}]"), path)).collect();
    let ra = [
        ("ra_decryption", &ca.ra_decryption, KeyUsage::KEY_ENCIPHERMENT, "keyEncipherment"),
        ("ra_signing", &ca.ra_signing, KeyUsage::DIGITAL_SIGNATURE, "digitalSignature"),
    ]
    .map(|(part, settings, usage, usage_name)| {
        let certificate = read(format!("ca.{name}.{part}"), &settings.certificate);
        (part, certificate, usage, usage_name)
    });
    let chain: Option<Vec<Certificate>> = chain.into_iter().collect();
    let (Some(certificate), Some(chain)) = (certificate, chain) else { return };
    let (check, thing) = ("chain", format!("ca.{name}"));
    if ca.crl.enabled && !may_sign_lists(&certificate) {
        let cause = "its keyUsage lacks cRLSign, so nobody would accept its CRL";
        let next =
            format!("issue it again with cRLSign, or set `enabled = false` in [ca.{name}.crl]");
        report.error(Exit::Configuration, check, thing.as_str(), cause, next);
    }
    let algorithm = certificate.public_key().kind().default_signature();
    let issuer = match Issuer::new(name, certificate, chain, algorithm) {
        Ok(issuer) => issuer,
        Err(e) => {
            let next =
                "name the CA's own certificate, and those above it in `chain`, the root last";
            return report.error(Exit::Configuration, check, thing, e.to_string(), next);
        }
    };
    for (part, found, usage, usage_name) in ra {
        let thing = format!("ca.{name}.{part}");
        let Some(found) = found else { continue };
        match issuer.check_ra(&found, usage, usage_name) {
            Ok(()) => {
                let cause = format!(
                    "«{}» has {usage_name} and is the CA's own",
                    name::display(found.subject())
                );
                report.good("ra", thing, cause);
            }
            Err(cause) => {
                let next = format!(
                    "let this CA issue an RSA certificate with {usage_name} to its RA; devices stop without a word at another one"
                );
                report.error(Exit::Configuration, "ra", thing, cause, next);
            }
        }
    }
    outlived(report, name, &issuer, config);
    if !report.has_problem(check, &thing) {
        let length = issuer.chain().len();
        report.good(check, thing, format!("{length} certificates lead from the CA to its root"));
    }
}

fn may_sign_lists(certificate: &Certificate) -> bool {
    let usage = certificate.key_usage().map(KeyUsage::from_bits);
    usage.is_some_and(|u| u.contains(KeyUsage::CRL_SIGN))
}

/// A certificate never outlives the CA: near its end, devices get shorter ones.
fn outlived(report: &mut Report, ca: &str, issuer: &Issuer, config: &Config) {
    let left = issuer.not_after().since(report.now);
    let here = config.endpoint.values().filter(|e| e.ca.as_str() == ca);
    let profiles = here.filter_map(|e| Some((&e.profile, config.profile.get(&e.profile)?)));
    let longest = profiles.max_by_key(|(_, profile)| profile.validity);
    if let Some((name, profile)) = longest.filter(|(_, profile)| profile.validity > left) {
        let days = |d: std::time::Duration| d.as_secs() / 86_400;
        let cause = format!(
            "it ends in {} days, and profile {name} gives certificates {}: they end with the CA",
            days(left),
            days(profile.validity)
        );
        let next = "prepare the next CA (docs/rollover.md), or shorten `validity`";
        report.warning("validity", format!("ca.{ca}"), cause, next);
    }
}

/// What is allowed, and deserves to be seen.
fn policy(report: &mut Report, config: &Config) {
    if config.lab {
        let cause = "lab = true: keys that can leave the token are trusted, and its certificates mean nothing";
        let next = "leave it in a laboratory; elsewhere hold a ceremony and remove the line";
        report.warning("policy", "the instance", cause, next);
    }
    for (name, endpoint) in &config.endpoint {
        let thing = format!("endpoint.{name}");
        if endpoint.challenge_mac.is_none() && !endpoint.one_time_challenges {
            let cause = "no authorizer is configured: it refuses every enrolment";
            let next = format!(
                "run `chancery challenge mac {name}` and add the line, or set `one_time_challenges = true`"
            );
            report.warning("policy", thing.as_str(), cause, next);
        }
        if endpoint.algorithms.des_and_md5 {
            let cause = "single DES and MD5 are accepted, against RFC 8894 section 2.9";
            let next = "move the devices to AES and SHA-256, then remove `des_and_md5`";
            report.warning("policy", thing, cause, next);
        }
    }
}

/// Whether the kernel's clock is synchronised, where systemd can tell.
fn synchronised(report: &mut Report) {
    let asked = std::process::Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(std::process::Stdio::null())
        .output();
    let said = asked.ok().filter(|o| o.status.success()).map(|o| o.stdout);
    let (check, thing) = ("clock", "this host's clock");
    match said.as_deref() {
        Some(b"yes\n") => report.good(check, thing, "it is synchronised"),
        Some(b"no\n") => {
            let cause = "it is not synchronised; certificates, CRLs and the ledger are dated by it";
            report.warning(check, thing, cause, "run an NTP client (systemd-timesyncd, chrony)");
        }
        _ => {
            let cause = "whether it is synchronised is not known: timedatectl does not say";
            report.notice(check, thing, cause, "see that an NTP client runs");
        }
    }
}

/// The first address of the frontend, as this host reaches it.
fn reachable(config: &Config) -> Option<SocketAddr> {
    let mut address = *config.frontend.listen.iter().find(|a| a.port() != 0)?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Some(address)
}
