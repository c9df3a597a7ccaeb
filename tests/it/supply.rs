//! What we depend on, as far as it can be seen without other tools: sources, licences, comments.
//! `deny.toml` says the same to cargo-deny.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::run;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The packages of this repository and their folders.
const OURS: [(&str, &str); 5] = [
    ("chancery", "."),
    ("softhsm-test", "softhsm-test"),
    ("chancery-barrier", "src/store/barrier"),
    ("p11shim", "tests/shim"),
    ("powercut-disk", "tests/storage"),
];

#[test]
fn supply_every_dependency_says_what_it_is_for() {
    for (_, folder) in OURS {
        let manifest = root().join(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let manifest = manifest.display();
        let mut in_dependencies = false;
        for line in text.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && line.contains(" = ") && !line.starts_with('#') {
                assert!(line.contains(" # "), "{manifest}: no comment on: {line}");
            }
        }
    }
}

#[test]
fn supply_every_package_comes_from_crates_io_with_a_checksum() {
    let lock: toml::Table = read("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 50);
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let source = package.get("source").and_then(|s| s.as_str());
        if OURS.iter().any(|(ours, _)| *ours == name) {
            assert_eq!(source, None, "{name}");
            continue;
        }
        let expected = "registry+https://github.com/rust-lang/crates.io-index";
        assert_eq!(source, Some(expected), "{name}");
        assert!(package.get("checksum").is_some(), "{name} has no checksum");
    }
}

#[test]
fn supply_licences_and_bans_are_as_deny_toml_says() {
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let allowed: Vec<&str> =
        deny["licenses"]["allow"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
    let banned: Vec<&str> = deny["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| b["crate"].as_str().unwrap())
        .collect();
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let metadata = run(Command::new(cargo)
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root()));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let used: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["id"].as_str().unwrap())
        .collect();
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        if !used.contains(&package["id"].as_str().unwrap()) {
            continue;
        }
        seen += 1;
        assert!(!banned.contains(&name), "{name} is banned by deny.toml");
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(permitted(licence, &allowed), "{name}: licence {licence:?}");
    }
    assert!(seen > 50, "{seen} packages");
}

/// Whether one may use something under this SPDX expression with the allowed licences alone. Knows
/// AND and OR without nesting deeper than one pair of parentheses, which is all that there is.
fn permitted(expression: &str, allowed: &[&str]) -> bool {
    let flat = expression.replace('/', " OR ");
    let all = split(&flat, " AND ");
    all.iter().all(|part| {
        let part = part.trim().trim_start_matches('(').trim_end_matches(')');
        split(part, " OR ").iter().any(|one| allowed.contains(&one.trim()))
    })
}

/// Splits at a separator outside parentheses.
fn split<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && text[at..].starts_with(separator) && at >= start => {
                parts.push(&text[start..at]);
                start = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[test]
fn supply_the_reader_of_licences() {
    let allowed = ["MIT", "Apache-2.0", "Zlib", "Unicode-3.0"];
    for good in ["MIT", "MIT OR GPL-3.0", "GPL-2.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
        assert!(permitted(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND OpenSSL"] {
        assert!(!permitted(bad, &allowed), "{bad}");
    }
}

#[test]
fn supply_the_commands_of_the_readme_are_those_of_ci() {
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    for command in ["make demo", "make test"] {
        assert!(readme.contains(command) && ci.contains(command), "{command}");
    }
    assert!(Path::new(&root().join("examples/ci/github.yml")).is_file());
}
