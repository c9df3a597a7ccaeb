//! What convinces somebody who does not trust the appliance: checkpoints, proofs, the verification in the
//! background, and the modes in which nothing is signed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use softhsm_test::client::Delivery;
use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted, serial};
use crate::tiles::quick;

pub fn json(instance: &Instance, arguments: &[&str]) -> serde_json::Value {
    let said = instance.ask(&[arguments, &["--json"]].concat()).unwrap();
    serde_json::from_str(&said).unwrap()
}

/// Asks until `good` is content with the answer.
#[track_caller]
pub fn until(
    instance: &Instance,
    arguments: &[&str],
    good: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    let began = Instant::now();
    loop {
        let said = json(instance, arguments);
        if good(&said) {
            return said;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{said}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn independent(folder: &Path, verifier: &str) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verify_tlog.py");
    Command::new("python3")
        .arg(script)
        .arg(verifier)
        .args(["proof", "consistency.json", "old", "new"])
        .current_dir(folder)
        .output()
        .unwrap()
}

#[test]
fn a_stranger_checks_checkpoint_inclusion_and_consistency() {
    let instance = quick("off");
    let server = instance.server().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let old = instance.ask(&["ledger", "checkpoint"]).unwrap();
    fs::write(at("old"), &old).unwrap();
    let mut serials = Vec::new();
    for name in ["one", "two", "three"] {
        let (device, draft) = good(&instance, &server, name);
        serials.push(serial(&granted(&instance, &server, &device, &draft)));
    }
    let out = at("proof");
    let began = Instant::now();
    let prove = ["ledger", "proof", &serials[2], "--out", out.to_str().unwrap()];
    while !instance.command(&prove).unwrap().status.success() {
        assert!(began.elapsed() < Duration::from_secs(30), "no checkpoint covers it");
        std::thread::sleep(Duration::from_millis(200));
    }
    let new = instance.ask(&["ledger", "checkpoint"]).unwrap();
    fs::write(at("new"), &new).unwrap();
    let size = |note: &str| note.lines().nth(1).unwrap().to_owned();
    let proof =
        instance.ask(&["ledger", "consistency", &size(&old), &size(&new), "--json"]).unwrap();
    fs::write(at("consistency.json"), proof).unwrap();
    let verifier = json(&instance, &["status"])["log"]["verifier"].as_str().unwrap().to_owned();

    let checked = independent(folder.path(), &verifier);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
    // On another machine: the file and the key alone, no configuration.
    let elsewhere = |file: &Path, key: &str| {
        Command::new(softhsm_test::instance::chancery().unwrap())
            .args([
                "ledger",
                "verify-proof",
                file.to_str().unwrap(),
                "--key",
                key,
                "--config",
                "/none",
            ])
            .output()
            .unwrap()
    };
    let held = elsewhere(&out, &verifier);
    let said = String::from_utf8_lossy(&held.stdout).into_owned();
    assert!(held.status.success() && said.contains(&serials[2]), "{said}");

    // One changed octet, wherever it is, and neither accepts it.
    let whole = fs::read(&out).unwrap();
    for place in [30, whole.len() / 3, whole.len() / 2, whole.len() - 30] {
        let mut changed = whole.clone();
        changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
        fs::write(&out, changed).unwrap();
        assert!(!independent(folder.path(), &verifier).status.success(), "octet {place}");
        assert_eq!(elsewhere(&out, &verifier).status.code(), Some(3), "octet {place}");
    }
}

#[test]
fn checkpoints_follow_the_entries_and_are_anchored() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance
        .configure(|config| {
            config.replace("[ledger]\n", "[ledger]\ncheckpoint_interval = \"1s\"\n")
        })
        .unwrap();
    instance.start().unwrap();
    let anchor = instance.folder().join("state/ledger-anchor");
    let covers = |count: u64| {
        let covered = |said: &serde_json::Value| said["log"]["size"].as_u64() >= Some(count);
        until(&instance, &["status"], covered);
        let kept = fs::read_to_string(&anchor).unwrap();
        assert!(kept.lines().nth(1).unwrap().parse::<u64>().unwrap() >= count, "{kept}");
    };
    covers(1);
    let server = instance.server().unwrap();
    let before = json(&instance, &["status"])["ledger_sequence"].as_u64().unwrap();
    let (device, draft) = good(&instance, &server, "anchored");
    granted(&instance, &server, &device, &draft);
    covers(before + 3);
    let metrics = instance.ask(&["metrics"]).unwrap();
    for name in ["chancery_log_checkpoint_tree_size", "chancery_log_checkpoint_timestamp_seconds"] {
        assert!(metrics.contains(name), "{metrics}");
    }

    // An anchor that cannot be written is told of, and nothing is served that it does not have.
    fs::remove_file(&anchor).unwrap();
    fs::create_dir(&anchor).unwrap();
    let (device, draft) = good(&instance, &server, "unanchored");
    granted(&instance, &server, &device, &draft);
    let said = until(&instance, &["status"], |said| !said["log"]["problem"].is_null());
    assert!(said["log"]["problem"].as_str().unwrap().contains("ledger-anchor"), "{said}");
    // It keeps nobody from enrolling: a warning.
    assert!(said["warnings"].to_string().contains("no newer checkpoint"), "{said}");
    fs::remove_dir(&anchor).unwrap();
    until(&instance, &["status"], |said| said["log"]["problem"].is_null());
}

#[test]
fn damage_in_old_entries_is_found_in_the_background_and_ends_the_signing() {
    for with_right_sums in [false, true] {
        let mut instance = Instance::create(&Options::default()).unwrap();
        let often = "[ledger]\nverify_every = \"1s\"\n";
        instance.configure(|config| config.replace("[ledger]\n", often)).unwrap();
        instance.start().unwrap();
        until(&instance, &["status"], |said| {
            // How far it has come is shown with it.
            let far = |name: &str| said["verification"][name].as_u64();
            !said["verification"]["succeeded"].is_null()
                && far("end") > Some(0)
                && far("done") == far("end")
        });
        let listed = instance.ask(&["ledger", "list"]).unwrap();
        assert!(listed.contains("verification outcome=success"), "{listed}");

        // Under the running signer, which does not look at it again by itself.
        let journal = instance.folder().join("state/ledger/journal");
        let segment = fs::read_dir(journal).unwrap().next().unwrap().unwrap().path();
        let put_back = crate::tamper::rewrite_first_entry(&segment, with_right_sums);
        let said = until(&instance, &["status"], |said| !said["maintenance"].is_null());
        let why = said["maintenance"].as_str().unwrap();
        assert!(why.contains("does not verify"), "{why}");
        assert!(!said["verification"]["finding"].is_null(), "{said}");
        assert_eq!(said["verification"]["done"], 0, "it ended at the first entry: {said}");
        let server = instance.server().unwrap();
        let (device, draft) = good(&instance, &server, "late");
        let sent = draft.build(&device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        assert_eq!(answer.status, 503, "{}", answer.text());
        let metrics = instance.ask(&["metrics"]).unwrap();
        assert!(metrics.contains("chancery_log_verify_failures_total 1"), "{metrics}");
        assert!(metrics.contains("chancery_maintenance_mode 1"), "{metrics}");
        instance.stop().unwrap();
        // A start does not forget it, not even where nothing shows any more; a person does.
        put_back();
        instance.start().unwrap();
        let why = json(&instance, &["status"])["maintenance"].clone();
        assert!(why.as_str().unwrap_or_default().contains("a verification found"), "{why}");
        instance.stop().unwrap();
        fs::remove_file(instance.folder().join("state/ledger/finding")).unwrap();
        instance.start().unwrap();
        assert!(json(&instance, &["status"])["maintenance"].is_null());
        instance.stop().unwrap();
    }
}

#[test]
fn an_operators_maintenance_mode_holds_over_a_restart() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start().unwrap();
    let ask = |instance: &Instance, name: &str| {
        let server = instance.server().unwrap();
        let (device, draft) = good(instance, &server, name);
        let sent = draft.build(&device).unwrap();
        server.deliver(&sent.body, &Delivery::Post(None)).unwrap().status
    };
    assert_eq!(ask(&instance, "before"), 200);
    let on = json(&instance, &["maintenance", "on", "--reason", "the HSM moves"]);
    assert_eq!(on["reason"], "the HSM moves");
    assert_eq!(ask(&instance, "during"), 503);
    let proven = instance.command(&["ledger", "consistency", "1", "2"]).unwrap();
    assert!(proven.status.success(), "{}", String::from_utf8_lossy(&proven.stderr));
    let examined = instance.command(&["doctor", "--problems"]).unwrap();
    let examined = String::from_utf8_lossy(&examined.stdout).into_owned();
    assert!(examined.contains("chancery maintenance off"), "{examined}");
    let crl = instance.command(&["crl", "now"]).unwrap();
    assert!(crl.status.success(), "lists go on: {}", String::from_utf8_lossy(&crl.stderr));
    instance.stop().unwrap();
    instance.start().unwrap();
    let status = json(&instance, &["status"]);
    assert_eq!(status["maintenance"], "the HSM moves");
    assert_eq!(ask(&instance, "after the restart"), 503);
    assert_eq!(json(&instance, &["maintenance", "off"])["maintenance"], false);
    assert_eq!(ask(&instance, "after"), 200);
    let listed = instance.ask(&["ledger", "list"]).unwrap();
    assert!(listed.contains("maintenance-entered") && listed.contains("maintenance-left"));
}
