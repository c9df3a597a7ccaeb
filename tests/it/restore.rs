//! What a restore asks before it believes that a backup is the newest there is: the token and the witnesses,
//! who remember the log when the whole disk is gone.

use std::fs;
use std::path::PathBuf;

use softhsm_test::client::Delivery;
use softhsm_test::instance::{Instance, Options};

use crate::backup::{fails, json, lose_the_ledger};
use crate::common::good;
use crate::tiles::verifier;
use crate::witness::{Witness, enrol, status, until, watched};

/// A backup, then another enrolment, then the loss of everything but the token; where the backup is, and
/// how many entries it lacks of the ledger as it was stopped.
fn older_backup(instance: &mut Instance, folder: &tempfile::TempDir) -> (String, u64) {
    enrol(instance, "backed up");
    let backup = folder.path().join("backup").display().to_string();
    let made = json(&instance.command(&["backup", "create", &backup, "--json"]).unwrap());
    enrol(instance, "after the backup");
    instance.stop().unwrap();
    let whole = json(&instance.command(&["ledger", "verify", "--json"]).unwrap());
    let size = |report: &serde_json::Value| report["entries"].as_u64().unwrap();
    let missing = size(&whole) - size(&made);
    lose_the_ledger(instance);
    (backup, missing)
}

fn second(instance: &Instance) -> PathBuf {
    instance.folder().join("second/ledger")
}

/// The status that a device gets.
fn answered(instance: &Instance) -> u16 {
    let server = instance.server().unwrap();
    let (device, draft) = good(instance, &server, "after the restore");
    let sent = draft.build(&device).unwrap();
    server.deliver(&sent.body, &Delivery::Post(None)).unwrap().status
}

#[test]
fn a_restore_asks_the_token_which_knows_what_the_disk_forgot() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let in_token = "anchor_object = { token = \"main\", label = \"ledger head\" }\n";
    let in_file = "anchor_file = \"state/ledger-anchor\"\n";
    instance.configure(|text| text.replace(in_file, in_token)).unwrap();
    instance.start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (backup, missing) = older_backup(&mut instance, &folder);
    let restore = ["backup", "restore", &backup];
    let with = |more: &[&'static str]| [&restore[..], more].concat();
    let knows = "the data object \"ledger head\" of token main knows";
    fails(&instance, &restore, 3, knows);
    fails(&instance, &with(&["--accept-loss", "unknown"]), 3, knows);
    // Without the HSM nothing is known; a token that is away is not the same as one that knows nothing.
    fails(&instance, &with(&["--without-hsm"]), 3, "nothing but the backup says");
    let pin = instance.folder().join("pin");
    let right = fs::read(&pin).unwrap();
    fs::write(&pin, "wrong-pin").unwrap();
    fails(&instance, &restore, 5, "before the token locks itself");
    fs::write(&pin, right).unwrap();
    let text = fs::read_to_string(&instance.config).unwrap();
    let label = text.lines().find(|l| l.starts_with("serial = ") || l.starts_with("label = "));
    let line = label.expect("the token's name").to_owned();
    instance.configure(|text| text.replacen(&line, "label = \"no such token\"", 1)).unwrap();
    fails(&instance, &restore, 7, "--without-hsm");
    instance.configure(|text| text.replacen("label = \"no such token\"", &line, 1)).unwrap();
    assert!(!second(&instance).exists());

    // Restored without it all the same: the first start asks, and signs nothing.
    let blind = with(&["--without-hsm", "--accept-loss", "unknown"]);
    let output = instance.command(&blind).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("was not asked"), "{output:?}");
    instance.start().unwrap();
    let said = json(&instance.command(&["status", "--json"]).unwrap());
    assert!(said["maintenance"].as_str().unwrap_or_default().contains(knows), "{said}");
    assert_eq!(answered(&instance), 503);
    // What the signer has not opened is read from a copy.
    let listed = instance.ask(&["ledger", "list"]).unwrap();
    assert!(listed.contains("certificate"), "{listed}");
    instance.stop().unwrap();

    // With the very loss accepted the token begins again with the backup's head.
    fs::remove_dir_all(second(&instance)).unwrap();
    let loss = missing.to_string();
    let accepted = [&restore[..], &["--accept-loss", &loss, "--json"]].concat();
    let restored = json(&instance.command(&accepted).unwrap());
    assert_eq!(
        (&restored["token_asked"], &restored["accepted_loss"]),
        (&true.into(), &missing.into())
    );
    instance.start().unwrap();
    assert_eq!(answered(&instance), 200);
    instance.stop().unwrap();
    // A backup of now lacks nothing, and the token says so.
    instance.start().unwrap();
    let newest = folder.path().join("newest").display().to_string();
    instance.ask(&["backup", "create", &newest]).unwrap();
    instance.kill().unwrap();
    fs::remove_dir_all(second(&instance)).unwrap();
    let whole = json(&instance.command(&["backup", "restore", &newest, "--json"]).unwrap());
    assert_eq!(whole["accepted_loss"], serde_json::Value::Null, "{whole}");
    instance.start().unwrap();
    assert_eq!(answered(&instance), 200);
}

#[test]
fn a_restore_asks_the_witnesses_who_saw_more() {
    let witness = Witness::start();
    let mut instance = watched(&witness);
    instance.start().unwrap();
    witness.memory.lock().unwrap().log = Some(verifier(&instance));
    let folder = tempfile::tempdir().unwrap();
    enrol(&instance, "seen");
    until("a cosignature", 90, || status(&instance)["size"].is_u64());
    let (backup, _) = older_backup(&mut instance, &folder);
    // The anchor's file is gone with the disk.
    fs::remove_file(instance.folder().join("state/ledger-anchor")).unwrap();
    let restore = ["backup", "restore", &backup];
    let size = json(&instance.command(&["backup", "verify", &backup, "--json"]).unwrap());
    let size = size["entries"].as_u64().unwrap();
    // It saw 3 entries more than the backup has.
    witness.memory.lock().unwrap().seen = Some((size + 3, [7; 32]));
    fails(&instance, &restore, 3, &format!("the witness w1 knows {}", size + 3));
    let alone = [&restore[..], &["--without-witnesses"]].concat();
    fails(&instance, &alone, 3, "nothing but the backup says");
    witness.memory.lock().unwrap().log = None;
    fails(&instance, &restore, 3, "nothing but the backup says");
    witness.memory.lock().unwrap().log = Some(verifier_of(&instance));
    let elsewhere = instance.configure(|text| text.replace(&witness.url, "http://127.0.0.1:1/w1"));
    elsewhere.unwrap();
    fails(&instance, &restore, 1, "--without-witnesses");
    instance.configure(|text| text.replace("http://127.0.0.1:1/w1", &witness.url)).unwrap();
    assert!(!second(&instance).exists());

    // It saw exactly the backup's checkpoint: nothing is missing that it knows of.
    let note = fs::read_to_string(folder.path().join("backup/checkpoint")).unwrap();
    let kept = chancery::ledger::checkpoint::Checkpoint::read_unverified(&note).unwrap();
    witness.memory.lock().unwrap().seen = Some((kept.size, kept.root));
    let restored = json(&instance.command(&[&restore[..], &["--json"]].concat()).unwrap());
    assert_eq!(restored["accepted_loss"], serde_json::Value::Null, "{restored}");
    instance.start().unwrap();
    assert_eq!(answered(&instance), 200);
    until("it cosigns on", 60, || status(&instance)["size"].as_u64() > Some(kept.size));
}

/// The log's key where no signer runs: what the configuration says.
fn verifier_of(instance: &Instance) -> String {
    let text = fs::read_to_string(&instance.config).unwrap();
    let key = text.lines().find_map(|l| l.strip_prefix("verifier = \"")).unwrap();
    key.trim_end_matches('"').to_owned()
}
