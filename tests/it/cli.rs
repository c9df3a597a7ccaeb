//! The command line: what a new user meets first.

use std::process::{Command, Output};

use softhsm_test::instance::{Instance, Options, chancery};

use crate::common::run;

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn help_names_every_subcommand() {
    let help = run(Command::new(chancery().unwrap()).arg("--help"));
    for name in
        ["init", "signer", "frontend", "serve", "config", "ca", "request", "ledger", "challenge"]
    {
        let named = help.lines().any(|l| l.trim_start().starts_with(&format!("{name} ")));
        assert!(named, "{name} is not in:\n{help}");
        run(Command::new(chancery().unwrap()).args([name, "--help"]));
    }
    let output = Command::new(chancery().unwrap()).arg("nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn init_overwrites_nothing() {
    let instance = Instance::create(&Options::default()).unwrap();
    let before = std::fs::read(&instance.config).unwrap();
    let again = Command::new(chancery().unwrap())
        .args(["init", "--dir"])
        .arg(instance.folder())
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(9), "{}", text(&again));
    assert_eq!(std::fs::read(&instance.config).unwrap(), before);
    assert!(instance.command(&["config", "check"]).unwrap().status.success());
    // A folder with anything in it is not taken either.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("precious"), "data").unwrap();
    let output = Command::new(chancery().unwrap())
        .args(["init", "--dir"])
        .arg(other.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{}", text(&output));
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 1);
}

#[test]
fn init_marks_a_laboratory_and_says_what_production_needs() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(chancery().unwrap())
        .args(["init", "--dir"])
        .arg(folder.path().join("lab"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).to_lowercase().contains("production"), "{}", text(&output));
    let config = std::fs::read_to_string(folder.path().join("lab/chancery.toml")).unwrap();
    assert!(config.lines().any(|l| l.starts_with("lab = true")));
}

#[test]
fn row_029_quirk_29_ca_show_has_the_thumbprints_that_openssl_has() {
    let instance = Instance::create(&Options::default()).unwrap();
    let shown = instance.ask(&["ca", "show"]).unwrap();
    let json = instance.ask(&["ca", "show", "--json"]).unwrap();
    for file in ["issuing", "root", "ra-decryption", "ra-signing"] {
        let pem = instance.folder().join(format!("certificates/{file}.pem"));
        for digest in ["-sha256", "-sha1", "-md5"] {
            let mut openssl = Command::new("openssl");
            openssl.args(["x509", "-noout", "-fingerprint", digest, "-in"]).arg(&pem);
            let said = run(&mut openssl);
            let print = said.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
            assert!(shown.contains(&print) && json.contains(&print), "{file} {digest}:\n{shown}");
        }
    }
}

#[test]
fn a_lost_challenge_key_is_not_made_anew() {
    let instance = Instance::create(&Options::default()).unwrap();
    let key = instance.folder().join("state/secrets/challenge-mac.key");
    std::fs::remove_file(&key).unwrap();
    let output = instance.command(&["signer"]).unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", text(&output));
    assert!(text(&output).contains("chancery challenge mac device"), "{}", text(&output));
    assert!(!key.exists());
}

#[test]
fn config_check_tells_file_line_key_and_remedy() {
    let instance = Instance::create(&Options::default()).unwrap();
    let sound = std::fs::read_to_string(&instance.config).unwrap();
    assert!(instance.command(&["config", "check"]).unwrap().status.success());
    let file = instance.config.display().to_string();
    let cases = [
        ("[signer]", "[signer]\nqueu = 7", "queu", "queue"),
        ("lab = true", "lab = \"yes\"", "lab", "true"),
        ("lab = true", "lab = true\nconsole = 1", "console", "remove it"),
    ];
    for (old, new, key, remedy) in cases {
        let changed = sound.replacen(old, new, 1);
        assert_ne!(changed, sound, "{old} is not in the configuration");
        std::fs::write(&instance.config, &changed).unwrap();
        let wrong_line = new.lines().last().unwrap();
        let line = changed.lines().position(|l| l == wrong_line).unwrap() + 1;
        let output = instance.command(&["config", "check"]).unwrap();
        assert_eq!(output.status.code(), Some(8), "{}", text(&output));
        let said = text(&output);
        assert!(said.contains(&format!("{file}:{line}")), "no {file}:{line} in:\n{said}");
        assert!(said.contains(key) && said.contains(remedy), "{said}");
        // I9: an error starts nothing.
        for role in ["signer", "frontend", "serve"] {
            assert_eq!(instance.command(&[role]).unwrap().status.code(), Some(8), "{role}");
        }
    }
}

#[test]
fn the_readmes_endpoint_is_accepted() {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let start = readme.find("[endpoint.device]").expect("an endpoint in the README");
    let block = readme[start..].split("```").next().unwrap();
    let instance = Instance::create(&Options::default()).unwrap();
    instance
        .configure(|text| {
            let mac = text.lines().find(|l| l.starts_with("challenge_mac")).unwrap().to_owned();
            let above = &text[..text.find("[profile.device]").unwrap()];
            let theirs = |line: &str| match line.starts_with("challenge_mac") {
                true => mac.clone(),
                false => line.to_owned(),
            };
            let block: Vec<String> = block.lines().map(theirs).collect();
            format!("{above}{}\n", block.join("\n"))
        })
        .unwrap();
    let output = instance.command(&["config", "check"]).unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
