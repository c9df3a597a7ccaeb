//! The architecture, checked: who imports whom, which part alone uses which crate, how long a file
//! may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of `ARCHITECTURE.md`, bottom up. A part imports only from rows before its own; parts
/// in one row do not know each other.
const LAYERS: [&[&str]; 12] = [
    &["clock", "control", "random", "secret"],
    &["pki"],
    &["cms"],
    &["scep"],
    &["ra"],
    &["issuance"],
    &["ledger"],
    &["signing"],
    &["revocation"],
    &["hsm", "store", "http", "wire", "telemetry", "config"],
    &["frontend", "signer", "console", "ceremony"],
    &["cli"],
];

/// Crates that one part alone may use, and that part.
const OWNERS: [(&str, &str); 5] = [
    ("cryptoki", "hsm"),
    ("sled", "store"),
    ("prometheus", "telemetry"),
    ("rcgen", "issuance"),
    ("clap", "cli"),
];

const MAX_LINES: usize = 600;

fn rank(part: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&part))
}

#[test]
fn no_import_runs_up() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let Some(part) = part_of(&path) else { continue };
        let own = rank(&part).unwrap_or_else(|| panic!("{part}: no layer is named for it"));
        for (line, target) in imports(&text) {
            let Some(other) = rank(&target) else { continue };
            if target != part && other >= own {
                wrong.push(format!("{}:{line}: {part} imports {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports that run up:\n{}", wrong.join("\n"));
}

#[test]
fn every_part_is_in_a_layer() {
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(["lib", "main"].contains(&stem.as_str()) || rank(&stem).is_some(), "{stem}");
    }
}

#[test]
fn the_reader_of_imports_sees_all_forms() {
    let text = "use crate::hsm::Hsm;\nuse crate::{\n    pki::{A, B},\n    store,\n};\n\
                // crate::cli\nlet x = crate::wire::y();\nuse crate::{http::a, config};\n";
    let found: Vec<String> = imports(text).into_iter().map(|(_, part)| part).collect();
    assert_eq!(found, ["hsm", "pki", "store", "wire", "http", "config"]);
}

#[test]
fn one_part_alone_uses_each_foreign_world() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let Some(part) = part_of(&path) else { continue };
        for (name, owner) in OWNERS {
            let (used, named) = (format!("use {name}::"), format!(" {name}::"));
            let uses = |l: &str| !is_comment(l) && (l.starts_with(&used) || l.contains(&named));
            if part != owner && text.lines().any(uses) {
                wrong.push(format!("{}: uses {name}, which is {owner}'s", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "softhsm-test/src"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            if lines > MAX_LINES {
                wrong.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "over {MAX_LINES} lines:\n{}", wrong.join("\n"));
}

/// The parts that are named after `crate::`, with the line they stand in.
fn imports(text: &str) -> Vec<(usize, String)> {
    // Comments are blanked, so that groups over several lines can be read as one text.
    let clean: Vec<&str> = text.lines().map(|l| if is_comment(l) { "" } else { l }).collect();
    let clean = clean.join("\n");
    let mut found = Vec::new();
    for (at, _) in clean.match_indices("crate::") {
        // `$crate::` in a macro and `pub(crate)::` cannot occur; a longer word can.
        if clean[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = clean[..at].matches('\n').count() + 1;
        let rest = &clean[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(members(group).into_iter().map(|m| (line, m))),
            None => found.push((line, word(rest))),
        }
    }
    found
}

/// The first words of the members of a `{…}` group whose opening brace was taken off.
fn members(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut member = String::new();
    let mut all = Vec::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => all.push(std::mem::take(&mut member)),
            _ if depth == 0 => member.push(c),
            _ => {}
        }
    }
    all.push(member);
    all.iter().map(|m| word(m.trim_start())).filter(|m| !m.is_empty()).collect()
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn part_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.components().next()?;
    let part = Path::new(first.as_os_str()).file_stem()?.to_string_lossy().into_owned();
    (part != "lib" && part != "main").then_some(part)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `folder`, by their path from the repository's root.
fn sources(folder: &str) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(path.strip_prefix(root()).unwrap().to_path_buf(), text);
            }
        }
    }
    assert!(!files.is_empty());
    files
}
