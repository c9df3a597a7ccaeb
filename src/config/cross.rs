//! What no key can be judged by alone: references, pairs of keys, what must be unique.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::endpoint::{ChallengeStorage, Endpoint};
use super::ledger;
use super::model::Config;
use super::profile::Profile;
use super::reader::Reader;
use super::roles;
use super::seal;
use super::suggest;
use super::token::{KeyPlace, Token};
use super::values::Name;

/// Adds every error of `config` as a whole to `reader`.
pub(super) fn check(config: &Config, reader: &mut Reader<'_>) {
    for (table, is_empty) in [
        ("token", config.token.is_empty()),
        ("ca", config.ca.is_empty()),
        ("profile", config.profile.is_empty()),
        ("endpoint", config.endpoint.is_empty()),
    ] {
        if is_empty {
            reader.fail(
                table,
                format!("there is no [{table}.NAME]"),
                format!("add one: `chancery config explain {table}` says what it holds"),
            );
        }
    }
    if config.signer.socket == config.signer.admin_socket {
        reader.fail(
            "signer.admin_socket",
            "this is the socket of the frontend too",
            "choose another path: who may use the one must not use the other",
        );
    }
    if config.frontend.listen.is_empty() {
        reader.fail(
            "frontend.listen",
            "there is no address to listen on",
            "add \"127.0.0.1:8080\"",
        );
    }
    if let Some(address) = config.metrics.listen.filter(|a| !a.ip().is_loopback()) {
        reader.fail(
            "metrics.listen",
            format!("{address} can be reached from other hosts"),
            "use \"127.0.0.1:9464\" or \"[::1]:9464\", and let a collector on this host read it",
        );
    }
    let taken = |a: &SocketAddr| a.port() != 0 && config.frontend.listen.contains(a);
    if let Some(address) = config.metrics.listen.filter(taken) {
        reader.fail(
            "metrics.listen",
            format!("the frontend listens on {address} for devices already"),
            "choose another port, 9464 for example",
        );
    }
    for (name, token) in &config.token {
        check_token(&format!("token.{name}"), token, reader);
    }
    check_environment(config, reader);
    roles::check(config, reader);
    ledger::check(config, reader);
    seal::check(config, reader);
    check_keys(config, reader);
    for (name, ca) in &config.ca {
        if ca.crl.enabled && ca.crl.refresh >= ca.crl.next_update {
            reader.fail(
                &format!("ca.{name}.crl.refresh"),
                "a list would run out before the next one is made",
                "make it shorter than `next_update`, by days where people have to mend an HSM",
            );
        }
    }
    check_next(config, reader);
    for (name, profile) in &config.profile {
        check_profile(&format!("profile.{name}"), profile, reader);
    }
    // What the frontend publishes of the CAs.
    let mut paths = BTreeMap::new();
    for name in config.ca.keys() {
        for path in [format!("/crl/{name}.crl"), format!("/ca/{name}.cer")] {
            paths.insert(path, format!("[ca.{name}]"));
        }
    }
    for (name, endpoint) in &config.endpoint {
        let key = format!("endpoint.{name}");
        if std::iter::once(&endpoint.path)
            .chain(&endpoint.aliases)
            .any(|p| p.as_str().starts_with("/log/"))
        {
            reader.fail(
                &key,
                "below /log/ the ledger's checkpoint and tiles are served",
                "choose another path",
            );
        }
        refer(&format!("{key}.ca"), &endpoint.ca, "ca", &config.ca, reader);
        refer(&format!("{key}.profile"), &endpoint.profile, "profile", &config.profile, reader);
        check_paths(&key, endpoint, &mut paths, reader);
        check_queries(&key, endpoint, config, reader);
        if endpoint.challenge_storage == ChallengeStorage::Sealed && !endpoint.one_time_challenges {
            reader.fail(
                &format!("{key}.challenge_storage"),
                "there are no one-time challenges to keep",
                "add `one_time_challenges = true`, or remove the key",
            );
        }
        if endpoint.ca_cert_response.is_empty() {
            reader.fail(
                &format!("{key}.ca_cert_response"),
                "GetCACert must return something",
                "remove the key for the default: the RA's certificates, the CA, the root",
            );
        }
    }
}

/// Refuses a name that `table` does not have.
pub(super) fn refer<T>(
    key: &str,
    name: &Name,
    table: &str,
    known: &BTreeMap<Name, T>,
    reader: &mut Reader<'_>,
) {
    if !known.contains_key(name) {
        let names: Vec<&str> = known.keys().map(Name::as_str).collect();
        let remedy = match suggest::remedy(name.as_str(), &names) {
            _ if names.is_empty() => format!("add a section [{table}.{name}]"),
            remedy => format!("{remedy}; or add a section [{table}.{name}]"),
        };
        reader.fail(key, format!("there is no [{table}.{name}]"), remedy);
    }
}

fn check_token(key: &str, token: &Token, reader: &mut Reader<'_>) {
    match (&token.label, &token.serial) {
        (None, None) => reader.fail(
            key,
            "the token is not identified",
            "add `label` or `serial`; `softhsm2-util --show-slots` or the vendor's tool shows both",
        ),
        (Some(_), Some(_)) => reader.fail(
            &format!("{key}.label"),
            "the token is identified twice",
            "keep `serial`, which is unique, or `label`",
        ),
        _ => {}
    }
    let given = [token.pin_file.is_some(), token.pin_credential.is_some(), token.pin_prompt];
    match given.iter().filter(|g| **g).count() {
        1 => {}
        0 => reader.fail(
            key,
            "nothing says where the PIN comes from",
            "add `pin_file`, `pin_credential` or `pin_prompt = true`",
        ),
        _ => reader.fail(
            key,
            "the PIN comes from more than one place",
            "keep one of `pin_file`, `pin_credential` and `pin_prompt`",
        ),
    }
    let credential = token.pin_credential.as_deref();
    seal::check_credential(&format!("{key}.pin_credential"), credential, reader);
}

/// The modules of all tokens live in one process and share its environment.
fn check_environment(config: &Config, reader: &mut Reader<'_>) {
    let mut set: BTreeMap<&str, (&Name, &str)> = BTreeMap::new();
    for (token, settings) in &config.token {
        for (variable, value) in &settings.environment.0 {
            let (other, before) = *set.entry(variable).or_insert((token, value));
            if before != value {
                reader.fail(
                    &format!("token.{token}.environment.{variable}"),
                    format!("token {other} sets this variable to another value"),
                    "give both the same value: the modules share one process",
                );
            }
        }
    }
}

/// I4: one key, one purpose.
fn check_keys(config: &Config, reader: &mut Reader<'_>) {
    let mut seen: Vec<(String, &KeyPlace)> = Vec::new();
    let of_cas = config.ca.iter().flat_map(|(name, ca)| {
        [
            (format!("ca.{name}.key"), &ca.key),
            (format!("ca.{name}.ra_decryption.key"), &ca.ra_decryption.key),
            (format!("ca.{name}.ra_signing.key"), &ca.ra_signing.key),
        ]
    });
    let of_log = config.ledger.log_key.iter().map(|place| ("ledger.log_key".to_owned(), place));
    for (key, place) in of_cas.chain(of_log) {
        refer(&format!("{key}.token"), &place.token, "token", &config.token, reader);
        check_replicas(&format!("{key}.replicas"), place, config, reader);
        if place.label.is_none() && place.id.is_none() {
            reader.fail(&key, "the key is not identified", "add `label`, `id` or both");
        } else if let Some((other, _)) = seen.iter().find(|(_, s)| same_key(s, place)) {
            reader.fail(
                &key,
                format!("this is the key of {other} too"),
                "use a key of its own: one key, one purpose",
            );
        }
        seen.push((key, place));
    }
}

/// A replica lies on another token that is there.
fn check_replicas(key: &str, place: &KeyPlace, config: &Config, reader: &mut Reader<'_>) {
    for (index, name) in place.replicas.iter().enumerate() {
        let key = format!("{key}[{index}]");
        refer(&key, name, "token", &config.token, reader);
        if *name == place.token {
            reader.fail(
                &key,
                format!("token {name} is named already"),
                "remove it: a replica lies on another token",
            );
        }
    }
}

/// Whether two places may name one key: the same token, and nothing that tells them apart.
fn same_key(a: &KeyPlace, b: &KeyPlace) -> bool {
    let differ = |a: Option<bool>| a == Some(false);
    let labels = a.label.as_ref().zip(b.label.as_ref()).map(|(a, b)| a == b);
    let ids = a.id.as_ref().zip(b.id.as_ref()).map(|(a, b)| a == b);
    let holders = |p: &KeyPlace| [vec![p.token.clone()], p.replicas.clone()].concat();
    let shared = holders(a).iter().any(|token| holders(b).contains(token));
    shared && (labels.is_some() || ids.is_some()) && !differ(labels) && !differ(ids)
}

/// A CA follows one other at most, and none follows itself.
fn check_next(config: &Config, reader: &mut Reader<'_>) {
    let mut follows: BTreeMap<&Name, &Name> = BTreeMap::new();
    for (name, next) in config.ca.iter().filter_map(|(n, ca)| Some((n, ca.next.as_ref()?))) {
        let key = format!("ca.{name}.next");
        refer(&key, next, "ca", &config.ca, reader);
        if let Some(other) = follows.insert(next, name) {
            reader.fail(
                &key,
                format!("{next} follows [ca.{other}] already"),
                "let each CA follow one other: make a new one for each rollover",
            );
        }
        let mut at = Some(next);
        let mut steps = 0;
        while let Some(here) = at.filter(|here| *here != name && steps <= config.ca.len()) {
            at = config.ca.get(here).and_then(|ca| ca.next.as_ref());
            steps += 1;
        }
        if at == Some(name) {
            reader.fail(
                &key,
                format!("{name} would follow itself"),
                "name the CA that is newer than this one, or remove the key",
            );
        }
    }
}

fn check_profile(key: &str, profile: &Profile, reader: &mut Reader<'_>) {
    if profile.key_types.is_empty() {
        reader.fail(
            &format!("{key}.key_types"),
            "no key type is allowed: no device could enrol",
            "name those that devices have, or remove the key for the default",
        );
    }
    if profile.key_usage.is_empty() {
        reader.fail(
            &format!("{key}.key_usage"),
            "a certificate without key usages is not made",
            "name at least \"digitalSignature\"",
        );
    }
    let subject = &profile.subject;
    if let Some(allowed) = &subject.allowed {
        let missing = subject.required.iter().find(|r| !allowed.contains(r));
        if let Some(missing) = missing {
            reader.fail(
                &format!("{key}.subject.allowed"),
                format!("{} is required but not allowed", missing.word()),
                format!("add \"{}\" here or remove it from `required`", missing.word()),
            );
        }
    }
    if subject.allow_empty && !subject.required.is_empty() {
        reader.fail(
            &format!("{key}.subject.allow_empty"),
            "the subject may be empty and must have attributes at once",
            "remove `required` or `allow_empty`",
        );
    }
    let nameless = [
        ("subject.allow_empty", subject.allow_empty, "the subject may be empty"),
        ("san.required", profile.san.required, "an alternative name is required"),
    ];
    for (setting, on, what) in nameless {
        if on && profile.san.allowed.is_empty() {
            reader.fail(
                &format!("{key}.{setting}"),
                format!("{what}, but no kind of alternative name is allowed"),
                format!("name the kinds in `{key}.san.allowed`, such as [\"dns\"]"),
            );
        }
    }
    for (index, domain) in profile.san.domains.iter().enumerate() {
        let label =
            |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !domain.split('.').all(label) {
            reader.fail(
                &format!("{key}.san.domains[{index}]"),
                "this is not a domain",
                "write it as \"example.org\", without *, leading dot or port (IDN as xn--…)",
            );
        }
    }
}

/// A CRL can be asked for only where one is made.
fn check_queries(key: &str, endpoint: &Endpoint, config: &Config, reader: &mut Reader<'_>) {
    let has_crl = config.ca.get(&endpoint.ca).is_none_or(|ca| ca.crl.enabled);
    if endpoint.get_crl && !has_crl {
        reader.fail(
            &format!("{key}.get_crl"),
            format!("the CA {} makes no CRL", endpoint.ca),
            format!("remove it, or remove `enabled = false` from [ca.{}.crl]", endpoint.ca),
        );
    }
}

/// Every path belongs to one endpoint, whatever its case and whatever clients append.
fn check_paths(
    key: &str,
    endpoint: &Endpoint,
    paths: &mut BTreeMap<String, String>,
    reader: &mut Reader<'_>,
) {
    let aliases = endpoint.aliases.iter().enumerate();
    let all = std::iter::once((format!("{key}.path"), &endpoint.path))
        .chain(aliases.map(|(index, path)| (format!("{key}.aliases[{index}]"), path)));
    for (at, path) in all {
        let lower = path.as_str().to_ascii_lowercase();
        let base = lower.strip_suffix("/pkiclient.exe").unwrap_or(&lower).to_owned();
        if let Some(other) = paths.get(&base) {
            reader.fail(
                &at,
                format!("this path is taken by {other}"),
                "choose another path: /pkiclient.exe at the end and upper case make no difference",
            );
        } else {
            paths.insert(base, at);
        }
    }
}
