//! The configuration as it is in force, for `chancery config show`: every key with its value, and
//! whether the file says it or it is the default.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::duration::duration_text;
use super::error::ConfigError;
use super::load::{parse, read};
use super::model::Config;

/// Keys whose values are not shown. A configuration holds no secret, but who has this value and the
/// signer's key can try challenges.
const HIDDEN: &[&str] = &["challenge_mac"];

/// What stands for a value that is not shown.
const INSTEAD: &str = "hidden";

/// A configuration, key by key.
#[derive(Clone, Debug)]
pub struct Shown {
    config: Config,
    keys: Vec<(String, Value, bool)>,
}

/// Loads the configuration at `path`, without looking at any other file, key by key.
pub fn show(path: &Path) -> Result<Shown, Vec<ConfigError>> {
    let source = read(path).map_err(|e| vec![e])?;
    show_text(path, &source)
}

/// The same of a file's text.
pub(super) fn show_text(path: &Path, source: &str) -> Result<Shown, Vec<ConfigError>> {
    let config = parse(path, source)?;
    let (document, _) = DeTable::parse_recoverable(source);
    let mut keys = Vec::new();
    flatten("", readable(config.to_json()), &mut keys);
    let keys = keys.into_iter().map(|(key, value)| {
        let written = is_written(document.get_ref(), &key);
        let hidden = HIDDEN.iter().any(|name| key.rsplit('.').next() == Some(name));
        let value = if hidden { INSTEAD.into() } else { value };
        (key, value, written)
    });
    let keys = keys.collect();
    Ok(Shown { config, keys })
}

impl Shown {
    /// Its digest, as it is in the ledger while it is in force.
    pub fn digest(&self) -> [u8; 32] {
        self.config.digest()
    }

    /// As TOML, a key a line; with `defaults` those that the file does not say, too, marked.
    pub fn toml(&self, defaults: bool) -> String {
        let mut out = String::new();
        for (key, value, written) in self.keys.iter().filter(|k| defaults || k.2) {
            let mark = if *written { "" } else { "  # default" };
            let _ = writeln!(out, "{key} = {}{mark}", in_toml(value));
        }
        out
    }

    /// As one JSON object of dotted keys, and the list of those that are defaults.
    pub fn json(&self, defaults: bool) -> Value {
        let keys = self.keys.iter().filter(|k| defaults || k.2);
        let values: serde_json::Map<String, Value> =
            keys.clone().map(|(key, value, _)| (key.clone(), value.clone())).collect();
        let defaults: Vec<&str> = keys.filter(|k| !k.2).map(|k| k.0.as_str()).collect();
        serde_json::json!({
            "digest": hex::encode(self.digest()), "keys": values, "defaults": defaults,
        })
    }
}

/// Values as the file has them: durations as `90d`.
fn readable(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let number = |name: &str| map.get(name).and_then(Value::as_u64);
            if let (2, Some(secs), Some(nanos)) = (map.len(), number("secs"), number("nanos")) {
                let nanos = u32::try_from(nanos).unwrap_or_default();
                return duration_text(Duration::new(secs, nanos)).into();
            }
            map.into_iter().map(|(key, value)| (key, readable(value))).collect()
        }
        other => other,
    }
}

/// The leaves of `value` under dotted keys; what is not set has none.
fn flatten(prefix: &str, value: Value, out: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                flatten(&path, value, out);
            }
        }
        Value::Null => {}
        leaf => out.push((prefix.to_owned(), leaf)),
    }
}

/// Whether the file says `key`. Names have no dots.
fn is_written(document: &DeTable<'_>, key: &str) -> bool {
    let mut parts = key.split('.');
    let first = parts.next().and_then(|name| document.get(name));
    let found = parts.try_fold(first.map(toml::Spanned::get_ref), |value, name| {
        let table = value.and_then(DeValue::as_table)?;
        Some(table.get(name).map(toml::Spanned::get_ref))
    });
    found.flatten().is_some()
}

/// JSON's texts, numbers, truth values and lists of these are TOML's as well, but for the escape of DEL.
fn in_toml(value: &Value) -> String {
    value.to_string().replace('\u{7f}', "\\u007f")
}
