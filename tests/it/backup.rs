//! Backups: made under load, verified, changed, restored into another folder with the same token.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use softhsm_test::client::{Csr, keys};
use softhsm_test::instance::Instance;

use crate::common::{
    BAD_REQUEST, contents, copy_folder, each_recorded_once, good, granted, ledger, refused,
    with_csr,
};
use crate::load;
use crate::one_time::{issue, unstarted};

pub fn json(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"))
}

/// The command fails with this status and says this.
#[track_caller]
pub fn fails(instance: &Instance, arguments: &[&str], status: i32, text: &str) {
    let output = instance.command(arguments).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(said.contains(text), "{arguments:?}: {text:?} is not in {said}");
}

/// Enrolments of a few devices while `work` is done.
fn under_load<T>(instance: &Instance, work: impl FnOnce() -> T) -> (T, Vec<load::Acknowledged>) {
    let server = instance.server().unwrap();
    let keys = keys::many_rsa(3).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let devices = load::start(scope, (instance, &server), &keys, &stop);
        let start = Instant::now();
        while ledger(instance).len() < 60 && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let seen = devices.into_iter().map(|d| d.join().unwrap());
        (done, seen.flat_map(|s| s.acknowledged).collect())
    })
}

fn anchor(instance: &Instance) -> PathBuf {
    instance.folder().join("state/ledger-anchor")
}

/// How many entries the anchor knows.
fn anchored(instance: &Instance) -> u64 {
    let note = fs::read_to_string(anchor(instance)).unwrap_or_default();
    note.lines().nth(1).map_or(0, |size| size.parse().unwrap())
}

/// The same instance with an empty state folder: its token and its secrets are there, its ledger is not.
pub fn lose_the_ledger(instance: &mut Instance) -> PathBuf {
    instance.stop().unwrap();
    let second = instance.folder().join("second");
    for folder in [second.clone(), second.join("secrets")] {
        fs::create_dir(&folder).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for item in fs::read_dir(instance.folder().join("state/secrets")).unwrap() {
        let path = item.unwrap().path();
        fs::copy(&path, second.join("secrets").join(path.file_name().unwrap())).unwrap();
    }
    instance.configure(|text| text.replace("\"state\"", "\"second\"")).unwrap();
    second
}

#[test]
fn a_backup_under_load_is_restored_elsewhere_and_goes_on() {
    let mut instance = unstarted();
    let often = "[ledger]\ncheckpoint_interval = \"1s\"\n";
    instance.configure(|text| text.replace("[ledger]\n", often)).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (_, live) = issue(&instance, "device", &[]);
    let (used_id, used) = issue(&instance, "device", &[]);
    let (device, draft) = with_csr(&server, "used", Csr::new("used").challenge(&used));
    let first = granted(&instance, &server, &device, &draft);
    let out = tempfile::tempdir().unwrap();
    let at = |name: &str| out.path().join(name).display().to_string();
    let (folder, file) = (at("folder"), at("one.tar"));

    let (made, acknowledged) = under_load(&instance, || {
        let made = [&folder, &file]
            .map(|place| json(&instance.command(&["backup", "create", place, "--json"]).unwrap()));
        // Something of each device comes after the backup, and the anchor knows of it.
        std::thread::sleep(Duration::from_millis(500));
        let size = made[0]["entries"].as_u64().unwrap();
        let start = Instant::now();
        while anchored(&instance) <= size && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(100));
        }
        made
    });
    let size = made[0]["entries"].as_u64().unwrap();
    assert!(made[1]["entries"].as_u64().unwrap() >= size && size >= 60, "{made:?}");
    for (place, made) in [(&folder, &made[0]), (&file, &made[1])] {
        let found = json(&instance.command(&["backup", "verify", place, "--json"]).unwrap());
        assert_eq!((&found["ok"], &found["head"]), (&true.into(), &made["head"]), "{found}");
        assert_eq!(found["manifest_sha256"], made["manifest_sha256"]);
        assert!(found["certificates"].as_u64().unwrap() > 5, "{found}");
        assert!(found["signed_by"].is_string() && made["signed"] == true, "{found} {made}");
    }
    fails(&instance, &["backup", "create", &folder], 9, "is there already");
    has_no_secret(&instance, out.path(), &[&live, &used, &instance.challenge]);

    let status = json(&instance.command(&["status", "--json"]).unwrap());
    assert_eq!(status["last_backup"]["entries"], made[1]["entries"], "{status}");
    let text = instance.ask(&["status"]).unwrap();
    assert!(text.contains("\nbackup:  20"), "{text}");
    let metrics = instance.ask(&["metrics"]).unwrap();
    let metric = "chancery_backup_last_success_timestamp_seconds 1";
    assert!(metrics.contains(metric), "{metrics}");
    let recorded = ledger(&instance);
    let created: Vec<_> = recorded.iter().filter(|e| e.event == "backup").collect();
    assert_eq!(created.len(), 2);
    assert_eq!(created[0].field("manifest sha-256"), made[0]["manifest_sha256"]);
    let crl = json(&instance.command(&["crl", "show", "--json"]).unwrap());
    let numbered = crl["number"].as_u64().unwrap();

    let second = lose_the_ledger(&mut instance);
    let old = instance.folder().join("state/ledger").display().to_string();
    let verified = json(&instance.command(&["ledger", "verify", &old, "--json"]).unwrap());
    let head = verified["head"].as_str().unwrap().to_owned();
    let lost = verified["entries"].as_u64().unwrap() - size;
    let restore = ["backup", "restore", &folder];
    let with = |more: &[&'static str]| [&restore[..], more].concat();
    // The anchor knows more, and a head that was noted later still more.
    fails(&instance, &restore, 3, "ledger-anchor knows");
    let newer = [&restore[..], &["--head", &head]].concat();
    fails(&instance, &newer, 3, &format!("--accept-loss {lost}"));
    fails(&instance, &[&newer[..], &["--accept-loss", "1"]].concat(), 3, "are missing");
    fails(&instance, &[&newer[..], &["--accept-loss", "unknown"]].concat(), 3, "are missing");
    let away = anchor(&instance).with_extension("away");
    fs::rename(anchor(&instance), &away).unwrap();
    fails(&instance, &restore, 3, "--accept-loss unknown");
    fails(&instance, &with(&["--accept-loss", "7"]), 2, "--accept-loss unknown");
    // A head of the same size and another root is of another ledger.
    let other = format!("{size}:{}", "A".repeat(43) + "=");
    fails(&instance, &[&restore[..], &["--head", &other]].concat(), 3, "are not those that");
    fs::rename(&away, anchor(&instance)).unwrap();
    assert!(!second.join("ledger").exists() && !second.join("ledger.restoring").exists());

    let loss = lost.to_string();
    let accepted = [&newer[..], &["--accept-loss", &loss, "--json"]].concat();
    let restored = json(&instance.command(&accepted).unwrap());
    assert_eq!((&restored["epoch"], &restored["accepted_loss"]), (&1.into(), &lost.into()));
    assert_eq!(restored["voided_challenges"], 2, "{restored}");
    fails(&instance, &accepted, 9, "nothing is overwritten");
    let begun = fs::read(Path::new(&folder).join("checkpoint")).unwrap();
    assert_eq!(fs::read(anchor(&instance)).unwrap(), begun, "the anchor goes on from the backup");

    instance.start().unwrap();
    let server = instance.server().unwrap();
    // The live challenge is void; of the used one the certificate is still the answer.
    let (device, draft) = with_csr(&server, "late", Csr::new("late").challenge(&live));
    let text = refused(&server, &device, &draft, BAD_REQUEST).unwrap();
    assert!(text.contains("void"), "{text}");
    let listed = instance.ask(&["challenge", "list", "--json"]).unwrap();
    let line = listed.lines().find(|l| l.contains(&format!("\"id\":{used_id},"))).unwrap();
    assert!(line.contains("\"state\":\"used\""), "{listed}");
    let (device, draft) = good(&instance, &server, "after the restore");
    let last = granted(&instance, &server, &device, &draft);
    let entries = ledger(&instance);
    each_recorded_once(&instance, &[first, last]);
    let in_backup = acknowledged.iter().filter(|a| {
        let serial = crate::common::serial(&a.certificate);
        entries.iter().any(|e| e.event == "certificate" && e.field("object") == serial)
    });
    let kept = in_backup.count();
    assert!(kept > 3 && kept < acknowledged.len(), "{kept} of {}", acknowledged.len());
    let restored = entries.iter().rev().find(|e| e.event == "backup").unwrap();
    assert_eq!((restored.field("action"), restored.field("epoch")), ("restored", "1"));
    assert!(restored.field("given up").contains(&format!("{} entries", size + lost)));
    // No number of a list comes twice, though the ledger forgot some.
    let crl = json(&instance.command(&["crl", "now", "--json"]).unwrap());
    assert!(crl["number"].as_u64().unwrap() > numbered + lost, "{crl}");
    assert!(instance.ask(&["status"]).unwrap().contains("\nepoch:   1"));
    instance.stop().unwrap();
    let verified = instance.ask(&["ledger", "verify"]).unwrap();
    assert!(verified.starts_with("the ledger is good\n"), "{verified}");
}

/// None of the secrets, nor what the signer keeps under them, is in any file.
fn has_no_secret(instance: &Instance, folder: &Path, more: &[&str]) {
    let mut secrets: Vec<Vec<u8>> = more.iter().map(|s| s.as_bytes().to_vec()).collect();
    for item in fs::read_dir(instance.folder().join("state/secrets")).unwrap() {
        secrets.push(fs::read(item.unwrap().path()).unwrap());
    }
    let pin = fs::read_to_string(instance.folder().join("pin")).unwrap();
    secrets.push(pin.trim_end().as_bytes().to_vec());
    for (path, content) in contents(folder) {
        for secret in &secrets {
            let found = content.windows(secret.len()).any(|w| w == secret);
            assert!(!found, "{} holds a secret", path.display());
        }
    }
}

#[test]
fn every_change_of_a_backup_is_found_and_named() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "backed-up");
    granted(&instance, &server, &device, &draft);
    let out = tempfile::tempdir().unwrap();
    let at = |name: &str| out.path().join(name);
    let whole = at("whole");
    instance.ask(&["backup", "create", whole.to_str().unwrap()]).unwrap();
    let manifest = whole.to_str().unwrap();
    instance.ask(&["backup", "verify", manifest, "--record"]).unwrap();
    let entries = ledger(&instance);
    let actions = entries.iter().filter(|e| e.event == "backup").map(|e| e.field("action"));
    assert_eq!(actions.collect::<Vec<_>>(), ["created", "verified"]);
    // On another machine: no configuration, the log's public key alone.
    let text = fs::read_to_string(&instance.config).unwrap();
    let key = text.lines().find_map(|l| l.strip_prefix("verifier = \"")).unwrap();
    let key = key.trim_end_matches('"');
    let elsewhere = |key: &str| {
        let mut command = std::process::Command::new(softhsm_test::instance::chancery().unwrap());
        let arguments = ["backup", "verify", manifest, "--config", "/none", "--log-key", key];
        command.args(arguments).output().unwrap()
    };
    let found = elsewhere(key);
    assert!(found.status.success(), "{found:?}");
    assert_eq!(elsewhere("no key").status.code(), Some(1));
    let other = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(elsewhere(other).status.code(), Some(3));
    let journal = "journal/00000000000000000000.journal";
    let header = 48;
    type Damage<'a> = &'a dyn Fn(&Path);
    let flip = |path: &'static str, place: usize| {
        move |folder: &Path| {
            let path = folder.join(path);
            let mut bytes = fs::read(&path).unwrap();
            bytes[place] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    };
    let edit = |from: &'static str, to: &'static str| {
        move |folder: &Path| {
            let path = folder.join("manifest");
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{text}");
            fs::write(path, text.replacen(from, to, 1)).unwrap();
        }
    };
    let cases: &[(&str, &str, Damage<'_>)] = &[
        ("magic", journal, &flip(journal, 0)),
        ("salt", journal, &flip(journal, 40)),
        ("header-sum", journal, &flip(journal, header - 1)),
        ("record", journal, &flip(journal, header)),
        ("length", journal, &flip(journal, header + 3)),
        ("sum", journal, &flip(journal, header + 7)),
        ("sequence", journal, &flip(journal, header + 15)),
        ("leaf", journal, &flip(journal, header + 30)),
        ("entry", journal, &flip(journal, header + 60)),
        ("ca", "certificates/issuing/ca.pem", &flip("certificates/issuing/ca.pem", 100)),
        ("crl", "crl/issuing.crl", &flip("crl/issuing.crl", 9)),
        ("configuration", "chancery.toml", &flip("chancery.toml", 5)),
        ("checkpoint", "checkpoint", &flip("checkpoint", 3)),
        ("time", "the signature by", &edit("time 20", "time 21")),
        ("epoch", "the signature by", &edit("epoch 0", "epoch 1")),
        ("signature", "manifest", &edit("\n\u{2014} ", "\n\u{2014} x")),
        ("first-line", "the signature by", &edit("version 1", "version 2")),
        ("size", "the signature by", &edit("size ", "size 1")),
        ("root", "the signature by", &edit("root ", "root A")),
        ("digest", "the signature by", &|folder| {
            let path = folder.join("manifest");
            let text = fs::read_to_string(&path).unwrap();
            let at = text.find("file ").unwrap() + 5;
            let digit = if &text[at..=at] == "0" { "1" } else { "0" };
            fs::write(path, format!("{}{digit}{}", &text[..at], &text[at + 1..])).unwrap();
        }),
        ("cut", journal, &|folder| {
            let path = folder.join(journal);
            let bytes = fs::read(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("missing", "is missing", &|folder| fs::remove_file(folder.join(journal)).unwrap()),
        ("more", "not in the manifest", &|folder| fs::write(folder.join("more"), "x").unwrap()),
        ("bare", "manifest", &|folder| fs::remove_file(folder.join("manifest")).unwrap()),
    ];
    for (name, said, damage) in cases {
        let folder = at(name);
        copy_folder(&whole, &folder);
        damage(&folder);
        fails(&instance, &["backup", "verify", folder.to_str().unwrap()], 3, said);
    }

    // The one file: its content, and where it was cut.
    let file = at("one.tar");
    instance.ask(&["backup", "create", file.to_str().unwrap()]).unwrap();
    let bytes = fs::read(&file).unwrap();
    let entry = bytes.windows(16).position(|w| w == b"chancery-ledger\n").unwrap() + 200;
    let mut changed = bytes.clone();
    changed[entry] ^= 1;
    for (name, bytes, said) in
        [("changed", &changed[..], journal), ("cut", &bytes[..entry], "does not verify")]
    {
        let file = at(&format!("{name}.tar"));
        fs::write(&file, bytes).unwrap();
        fails(&instance, &["backup", "verify", file.to_str().unwrap()], 3, said);
    }
    fails(&instance, &["backup", "verify", at("nothing").to_str().unwrap()], 1, "No such file");
    let kept = fs::read_dir(std::env::temp_dir()).unwrap();
    let left = kept.filter(|i| {
        let name = i.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("chancery-backup-")
    });
    assert_eq!(left.count(), 0, "what was unpacked is removed");
}

#[test]
fn a_timer_keeps_the_newest_backups() {
    let instance = Instance::serve().unwrap();
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("backups");
    let into = folder.to_str().unwrap();
    let mut made = Vec::new();
    for _ in 0..3 {
        let arguments = ["backup", "create", "--into", into, "--keep", "2", "--json"];
        let one = json(&instance.command(&arguments).unwrap());
        made.push(PathBuf::from(one["backup"].as_str().unwrap()));
        fs::create_dir_all(folder.join("chancery-20200101T000000Z.partial")).unwrap();
        fs::create_dir_all(folder.join("other")).unwrap();
        std::thread::sleep(Duration::from_millis(1100));
    }
    assert!(!made[0].exists() && made[1].exists() && made[2].exists(), "{made:?}");
    assert!(folder.join("other").exists(), "only what has such a name is removed");
    let left = fs::read_dir(&folder).unwrap().count();
    assert_eq!(left, 4, "two backups, the other folder and the partial one of the last round");
    fails(&instance, &["backup", "create"], 2, "PATH");
    let nothing = out.path().join("nothing");
    let arguments = ["backup", "create", nothing.to_str().unwrap(), "--keep", "2"];
    fails(&instance, &arguments, 2, "cannot be used with");
    assert!(!nothing.exists());
}
