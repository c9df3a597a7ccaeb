//! The text of `chancery config explain` and of the man page, from the schema itself.

use std::fmt::Write as _;

use super::model::Config;
use super::schema::{Key, Shape};
use super::{reload, suggest};

/// What `key` is for: its kind, default, range, and the keys below it. A name that the user chooses
/// may stand as it is or as `NAME` (`endpoint.device.ca`, `endpoint.NAME.ca`). Without a known key the
/// error says which there are.
pub fn explain(key: &str) -> Result<String, String> {
    let mut keys = Config::KEYS;
    let mut path = String::new();
    let mut parts = key.split('.').peekable();
    loop {
        let name = parts.next().unwrap_or_default();
        let Some(found) = keys.iter().find(|k| k.name == name) else {
            let names: Vec<&str> = keys.iter().map(|k| k.name).collect();
            let at = if path.is_empty() { "the configuration".to_owned() } else { path };
            let remedy = suggest::remedy(name, &names);
            return Err(format!("{at} has no key \"{}\"; {remedy}", name.escape_debug()));
        };
        push(&mut path, found.name);
        let below = match found.shape {
            Shape::Leaf => &[],
            Shape::Table(keys) => keys,
            Shape::Named(keys) => {
                parts.next();
                push(&mut path, "NAME");
                keys
            }
        };
        if parts.peek().is_none() {
            return Ok(text(&path, found, below));
        }
        keys = below;
    }
}

/// Every key of the schema, in the order of a configuration file.
pub fn reference() -> String {
    let mut out = String::new();
    describe_all("", Config::KEYS, &mut out);
    out
}

/// Every key, or `wanted` and those below it, for other programs; without a known key the error says
/// which there are.
pub fn reference_json(wanted: Option<&str>) -> Result<serde_json::Value, String> {
    let mut all = Vec::new();
    describe_json("", Config::KEYS, &mut all);
    if let Some(wanted) = wanted {
        let text = explain(wanted)?;
        // Its first line has NAME for what the user chose.
        let path = text.lines().next().unwrap_or_default();
        let below = format!("{path}.");
        all.retain(|(key, _)| key == path || key.starts_with(&below));
    }
    Ok(all.into_iter().map(|(_, value)| value).collect())
}

fn describe_json(section: &str, keys: &[Key], out: &mut Vec<(String, serde_json::Value)>) {
    for key in keys {
        let mut path = section.to_owned();
        push(&mut path, key.name);
        let doc: Vec<&str> = key.doc.iter().map(|line| line.trim()).collect();
        let (is_leaf, below): (bool, &[Key]) = match key.shape {
            Shape::Leaf => (true, &[]),
            Shape::Table(keys) => (false, keys),
            Shape::Named(keys) => {
                push(&mut path, "NAME");
                (false, keys)
            }
        };
        let mut value = serde_json::json!({ "key": path, "doc": doc.join(" ") });
        if is_leaf {
            value["kind"] = key.kind.into();
            value["each"] = key.element.into();
            value["default"] = key.default.into();
            value["compulsory"] = (key.required)().into();
            value["least"] = key.range.map(|(least, _)| least).into();
            value["greatest"] = key.range.map(|(_, greatest)| greatest).into();
            value["reload"] = reload::is_live(&path).into();
        }
        out.push((path.clone(), value));
        describe_json(&path, below, out);
    }
}

fn describe_all(section: &str, keys: &[Key], out: &mut String) {
    for key in keys {
        let mut path = section.to_owned();
        push(&mut path, key.name);
        let below: &[Key] = match key.shape {
            Shape::Leaf => &[],
            Shape::Table(keys) => keys,
            Shape::Named(keys) => {
                push(&mut path, "NAME");
                keys
            }
        };
        out.push_str(&text(&path, key, &[]));
        out.push('\n');
        describe_all(&path, below, out);
    }
}

fn text(path: &str, key: &Key, below: &[Key]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{path}");
    for line in key.doc {
        let _ = writeln!(out, "  {}", line.trim());
    }
    if matches!(key.shape, Shape::Leaf) {
        let _ = writeln!(out, "  kind: {}", key.kind);
        if let Some(element) = key.element {
            let _ = writeln!(out, "  each: {element}");
        }
        match key.default {
            Some(default) => {
                let _ = writeln!(out, "  default: {default}");
            }
            None if (key.required)() => out.push_str("  compulsory\n"),
            None => out.push_str("  optional\n"),
        }
        if let Some((least, greatest)) = key.range {
            let _ = writeln!(out, "  from {least} to {greatest}");
        }
        let by = if reload::is_live(path) { "`chancery reload`" } else { "a restart" };
        let _ = writeln!(out, "  a change takes effect by {by}");
    }
    if !below.is_empty() {
        out.push_str("  keys:\n");
        for key in below {
            let _ = writeln!(out, "    {}", key.name);
            let _ = writeln!(out, "      {}", first_sentence(key));
        }
    }
    out
}

/// The first sentence of a key's documentation.
fn first_sentence(key: &Key) -> String {
    let lines: Vec<&str> = key.doc.iter().map(|line| line.trim()).collect();
    let text = lines.join(" ");
    text.split_inclusive(". ").next().unwrap_or_default().trim_end().to_owned()
}

fn push(path: &mut String, part: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(part);
}
