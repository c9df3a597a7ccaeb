//! `--json` everywhere: each command that prints data prints nothing but JSON with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use softhsm_test::instance::chancery;

use crate::common::{good, granted, serial};
use crate::one_time::unstarted;

/// Commands that have no JSON of their own here, and why.
const EXCEPT: &[(&str, &str)] = &[
    ("signer", "prints nothing"),
    ("frontend", "prints nothing"),
    ("serve", "runs until it is stopped; every instance of these tests reads its JSON"),
    ("init", "makes an instance: every one of these tests reads its JSON"),
    ("challenge revoke", "prints nothing"),
    ("ledger watch", "runs until it is interrupted: tests/it/ledger_tools.rs"),
    ("backup restore", "wants an empty ledger: tests/it/backup.rs"),
    ("request approve", "wants a request that waits: tests/it/waiting.rs"),
    ("request deny", "as request approve"),
    ("ca rollover stage", "wants a next CA: tests/it/rollover.rs"),
    ("ca rollover activate", "as ca rollover stage"),
    ("ca rollover retire", "as ca rollover stage"),
    ("ceremony plan script", "a document to print, HTML"),
    ("ceremony report", "a document to print, HTML or Markdown"),
    ("ceremony rehearse", "a session at a terminal; what remains of it is the transcript"),
    ("ceremony run", "as ceremony rehearse"),
    ("ceremony verify", "wants a ceremony: tests/it/ceremony.rs"),
    ("ceremony bundle create", "prints the path that it was given"),
    ("ceremony bundle disclose", "as ceremony bundle create"),
    ("ceremony shares split", "secrets are shown to and typed by people, never to a program"),
    ("ceremony shares combine", "as ceremony shares split"),
    ("ceremony shares drill", "as ceremony shares split"),
    ("credential seal", "as ceremony shares split"),
    ("exchange show", "wants a message of a ceremony: tests/it/ceremony_room.rs"),
    ("exchange import", "as exchange show"),
    ("import", "prints sections of the configuration, which is TOML"),
];

/// The commands of the program, from its agreed help.
fn commands() -> BTreeSet<&'static str> {
    let help = include_str!("../golden/help.txt");
    let usages = help.lines().filter_map(|line| line.strip_prefix("Usage: chancery "));
    let commands = usages.filter(|usage| !usage.contains("<COMMAND>"));
    commands.filter_map(|usage| Some(usage.split_once(" [OPTIONS]")?.0)).collect()
}

#[test]
fn every_command_that_prints_data_prints_json() {
    let mut instance = unstarted();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "printed");
    let number = serial(&granted(&instance, &server, &device, &draft));
    let transaction = device.transaction_id();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (backup, tiles, proof) = (at("backup"), at("tiles"), at("proof"));
    let config = instance.config.display().to_string();
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ceremonies/destruction.toml");
    let plan = plan.display().to_string();
    let state = |key: &str| {
        let status = instance.ask(&["status", "--json"]).unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["log"][key].clone()
    };
    let verifier = state("verifier").as_str().unwrap().to_owned();
    let shown = instance.ask(&["config", "show", "--json"]).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let key = |key: &str| shown["keys"][key].as_str().unwrap_or_else(|| panic!("{key}: {shown}"));
    let (token, label) = (key("ledger.log_key.token"), key("ledger.log_key.label"));
    let softhsm = key(&format!("token.{token}.environment.SOFTHSM2_CONF")).to_owned();
    let module = chancery::hsm::Profile::load("softhsm2").unwrap().module_path(None).unwrap();
    let module = module.display().to_string();
    // A checkpoint covers the certificate by the time that a proof is asked for.
    let covered = std::time::Instant::now();
    while state("size").as_u64() < Some(6) {
        assert!(covered.elapsed().as_secs() < 60, "no checkpoint");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }

    let cases: Vec<(&str, Vec<&str>)> = vec![
        ("config check", vec![]),
        ("config show", vec!["--effective"]),
        ("config explain", vec![]),
        ("config explain", vec!["endpoint"]),
        ("status", vec![]),
        ("reload", vec![]),
        ("doctor", vec![]),
        ("metrics", vec![]),
        ("hsm status", vec![]),
        ("hsm selftest", vec![]),
        ("hsm probe", vec!["--module", &module]),
        ("role show", vec![]),
        ("ca show", vec![]),
        ("ca rollover show", vec![]),
        ("trace", vec![&transaction]),
        ("request show", vec![&transaction]),
        ("cert show", vec![&number]),
        ("cert list", vec![]),
        ("cert search", vec!["--subject", "printed"]),
        ("cert export", vec![]),
        ("cert revoke", vec![&number, "--reason", "certificateHold", "--yes"]),
        ("cert revoke-many", vec!["--profile", "device", "--reason", "superseded"]),
        ("cert revoke-many", vec!["--profile", "device", "--reason", "superseded", "--yes", "1"]),
        ("crl now", vec![]),
        ("crl show", vec![]),
        ("ledger list", vec![]),
        ("ledger show", vec!["0"]),
        ("ledger checkpoint", vec![]),
        ("ledger key", vec!["--token", token, "--label", label, "--name", "x.example/log"]),
        ("ledger verify", vec![]),
        ("ledger proof", vec![&number]),
        ("ledger proof", vec![&number, "--out", &proof]),
        ("ledger verify-proof", vec![&proof, "--key", &verifier]),
        ("ledger consistency", vec!["1", "2"]),
        ("ledger export", vec!["--out", &tiles]),
        ("ledger migrate", vec!["--check"]),
        ("maintenance on", vec!["--reason", "tried"]),
        ("maintenance status", vec![]),
        ("maintenance off", vec![]),
        ("backup create", vec![&backup]),
        ("backup verify", vec![&backup]),
        ("challenge mac", vec!["device", "--generate"]),
        ("challenge issue", vec!["device"]),
        ("challenge list", vec![]),
        ("request list", vec![]),
        ("ceremony plan check", vec![&plan]),
        ("ceremony plan digest", vec![&plan]),
        ("ceremony words", vec![&plan, &config]),
    ];
    let tried: BTreeSet<&str> = cases.iter().map(|(name, _)| *name).collect();
    let except: BTreeSet<&str> = EXCEPT.iter().map(|(name, _)| *name).collect();
    assert_eq!(tried.intersection(&except).next(), None, "an exception that is none");
    let named: BTreeSet<&str> = tried.union(&except).copied().collect();
    assert_eq!(named, commands(), "each command is tried, or excepted with a reason");

    // Nobody's request waits, so that this list has no line.
    let silent = ["request list"];
    for (name, more) in &cases {
        let words: Vec<&str> = name.split(' ').chain(more.iter().copied()).collect();
        let mut command = Command::new(chancery().unwrap());
        command.args(&words).args(["--json", "--config", &config]);
        // The probe has no configuration that says where the module finds its token.
        let output = command.env("SOFTHSM2_CONF", &softhsm).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // The doctor may find something of this host.
        assert!(output.status.success() || *name == "doctor", "{words:?}: {said}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.is_empty(), silent.contains(name), "{words:?} printed: {text}");
        for line in text.lines() {
            let value: Result<serde_json::Value, _> = serde_json::from_str(line);
            assert!(value.is_ok_and(|v| !v.is_string()), "{words:?} printed: {text}");
        }
    }
}
