//! What can change while the roles run (`chancery reload`), and what needs a new start: sockets, tokens,
//! keys, folders. An error here leaves the old configuration in force (I9).

use serde_json::Value;

use super::model::Config;
use super::reader::{Reader, join};
use super::schema::{Key, Shape};

/// What a reload takes over, with all that is below; `*` stands for a name. Everything else is fixed
/// from start to end.
const LIVE: &[&str] = &[
    "log",
    "roles",
    "profile",
    "endpoint",
    "signer.wrong_challenges",
    "signer.unknown_queries",
    "signer.unopened_envelopes",
    "ledger.publish",
    "ca.*.crl.next_update",
    "ca.*.crl.refresh",
    "frontend.max_connections",
    "frontend.max_connections_per_source",
    "frontend.header_timeout",
    "frontend.body_timeout",
    "frontend.write_timeout",
    "frontend.drain",
    "frontend.max_message",
];

/// Whether a reload takes over a change of `key`; names of the user's choice stand as `pattern` has them.
pub(super) fn is_live(key: &str) -> bool {
    let fits = |pattern: &str| {
        let mut parts = key.split('.');
        pattern.split('.').all(|wanted| parts.next().is_some_and(|p| wanted == "*" || wanted == p))
    };
    LIVE.iter().any(|pattern| fits(pattern))
}

impl Config {
    /// The keys whose values differ from those of `before`, in the order of the schema. A name that is
    /// in one of the two alone stands for all below it.
    pub fn changes(&self, before: &Self) -> Vec<String> {
        let mut found = Vec::new();
        differ("", Self::KEYS, &before.to_json(), &self.to_json(), &mut found);
        found
    }
}

/// Adds an error for each key that differs from `in_force` and that a reload cannot take over.
pub(super) fn check(config: &Config, in_force: &Config, reader: &mut Reader<'_>) {
    for key in config.changes(in_force).iter().filter(|key| !is_live(key)) {
        reader.fail(
            key,
            "a reload cannot change this; the configuration in force has another value",
            "restart the services for it (systemctl restart chancery-signer chancery-frontend), or put \
             the old value back and reload",
        );
    }
}

fn differ(section: &str, keys: &[Key], old: &Value, new: &Value, found: &mut Vec<String>) {
    for key in keys {
        let path = join(section, key.name);
        let (old, new) = (&old[key.name], &new[key.name]);
        if old == new {
            continue;
        }
        match (key.shape, old.as_object(), new.as_object()) {
            (Shape::Table(below), Some(_), Some(_)) => differ(&path, below, old, new, found),
            (Shape::Named(below), Some(before), Some(after)) => {
                let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
                names.sort_unstable();
                names.dedup();
                for name in names {
                    let path = join(&path, name);
                    match (before.get(name), after.get(name)) {
                        (Some(old), Some(new)) => differ(&path, below, old, new, found),
                        _ => found.push(path),
                    }
                }
            }
            _ => found.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{parse, reload};
    use super::*;

    const TEXT: &str = r#"version = 1
[token.main]
profile = "softhsm2"
label = "x"
pin_file = "pin"
[ca.issuing]
certificate = "ca.pem"
key = { token = "main", label = "ca" }
ra_decryption = { certificate = "d.pem", key = { token = "main", label = "d" } }
ra_signing = { certificate = "s.pem", key = { token = "main", label = "s" } }
[profile.device]
validity = "90d"
[endpoint.device]
path = "/scep"
ca = "issuing"
profile = "device"
"#;

    fn config(text: &str) -> Config {
        parse(Path::new("/chancery.toml"), text).unwrap()
    }

    #[test]
    fn what_differs_is_named_by_its_key() {
        let before = config(TEXT);
        let changes = |from: &str, to: &str| config(&TEXT.replace(from, to)).changes(&before);
        assert_eq!(changes("90d", "90d"), Vec::<String>::new());
        assert_eq!(changes("90d", "30d"), ["profile.device.validity"]);
        assert_eq!(changes("\"x\"", "\"y\""), ["token.main.label"]);
        assert_eq!(changes("label = \"ca\"", "label = \"cb\""), ["ca.issuing.key.label"]);
        let more = "[endpoint.more]\npath = \"/m\"\nca = \"issuing\"\nprofile = \"device\"\n";
        assert_eq!(config(&format!("{TEXT}{more}")).changes(&before), ["endpoint.more"]);
        let log = format!("{TEXT}[log]\nlevel = \"debug\"\n[ca.issuing.crl]\nrefresh = \"2h\"\n");
        assert_eq!(config(&log).changes(&before), ["log.level", "ca.issuing.crl.refresh"]);
    }

    #[test]
    fn only_what_can_change_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chancery.toml");
        let with = |text: &str| {
            std::fs::write(&path, text).unwrap();
            super::super::load(&path)
        };
        let in_force = with(TEXT).unwrap();
        let again = |text: &str| {
            std::fs::write(&path, text).unwrap();
            reload(&path, None, &in_force)
        };
        assert!(again(&TEXT.replace("90d", "30d")).is_ok());
        let errors = again(&TEXT.replace("\"x\"", "\"y\"").replace("90d", "30d")).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert_eq!((errors[0].key.as_str(), errors[0].line), ("token.main.label", 4));
        assert!(errors[0].remedy.contains("restart"), "{}", errors[0]);
        // What stands nowhere in the file any more is told all the same.
        let lab = again(&format!("{TEXT}[signer]\nqueue = 7\n")).unwrap_err();
        assert_eq!((lab[0].key.as_str(), lab.len()), ("signer.queue", 1));
    }

    /// A pattern that fits no key of the schema would be a promise that nothing keeps.
    #[test]
    fn every_pattern_is_of_the_schema() {
        for pattern in LIVE {
            let key = pattern.replace('*', "NAME");
            super::super::explain(&key).unwrap_or_else(|e| panic!("{pattern}: {e}"));
        }
        assert!(is_live("ca.issuing.crl.refresh") && !is_live("ca.issuing.crl.enabled"));
        assert!(is_live("endpoint.x") && !is_live("signer.socket") && !is_live("endpoints"));
    }
}
