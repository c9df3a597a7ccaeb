//! What auditors ask of a ledger, with the signer and without it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use softhsm_test::instance::{Instance, Options, chancery};

use crate::common::{contents, good, granted, ledger, serial};
use crate::tiles::{get, quick, verifier};

/// Enrols a device and waits until a checkpoint covers its certificate.
fn enrolled(instance: &Instance, name: &str) -> String {
    let server = instance.server().unwrap();
    let (device, draft) = good(instance, &server, name);
    let serial = serial(&granted(instance, &server, &device, &draft));
    let start = Instant::now();
    while !instance.command(&["ledger", "proof", &serial]).unwrap().status.success() {
        assert!(start.elapsed() < Duration::from_secs(30), "no checkpoint covers {serial}");
        std::thread::sleep(Duration::from_millis(200));
    }
    serial
}

/// Runs chancery as another machine would: without a configuration.
fn elsewhere(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(chancery().unwrap());
    let output = command.args(arguments).args(["--config", "/nowhere.toml"]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn code(instance: &Instance, arguments: &[&str]) -> i32 {
    instance.command(arguments).unwrap().status.code().unwrap()
}

#[test]
fn a_proof_travels_and_proves_its_certificate_alone() {
    let mut instance = quick("off");
    let key = verifier(&instance);
    let serial = enrolled(&instance, "proven");
    let other = enrolled(&instance, "another");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let file = path("proof");
    instance.ask(&["ledger", "proof", &serial, "--out", &file]).unwrap();
    assert_eq!(
        code(&instance, &["ledger", "proof", &serial, "--out", &file]),
        9,
        "not overwritten"
    );
    let export = |serial: &str, name: &str| {
        fs::write(path(name), instance.ask(&["cert", "show", serial, "--pem"]).unwrap()).unwrap();
        path(name)
    };
    let (own, foreign) = (export(&serial, "own.pem"), export(&other, "other.pem"));

    let verify = ["ledger", "verify-proof", &file, "--key", &key];
    let (status, said) = elsewhere(&verify);
    assert_eq!(status, 0, "{said}");
    assert!(said.contains(&format!("serial: {serial}")) && said.contains("proven"), "{said}");
    let with =
        |certificate: &str| elsewhere(&[&verify[..], &["--certificate", certificate]].concat());
    assert_eq!(with(&own).0, 0);
    assert_eq!(with(&foreign).0, 3);
    // Without a key nothing is proven; with another log's key neither.
    assert_eq!(elsewhere(&["ledger", "verify-proof", &file]).0, 2);
    let stranger = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert_eq!(elsewhere(&["ledger", "verify-proof", &file, "--key", stranger]).0, 3);
    // Every line counts.
    let text = fs::read_to_string(&file).unwrap();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| line.len() > 20) {
        let middle = line.char_indices().nth(line.chars().count() / 2).unwrap().0;
        let old = &line[middle..=middle];
        let new = if old == "A" { "B" } else { "A" };
        let changed = format!("{}{new}{}", &line[..middle], &line[middle + 1..]);
        fs::write(path("changed"), text.replace(line, &changed)).unwrap();
        let (status, said) =
            elsewhere(&["ledger", "verify-proof", &path("changed"), "--key", &key]);
        assert_eq!(status, 3, "line {number}: {said}");
    }

    // The same file without a signer, from a copy; the original stays as it is.
    instance.stop().unwrap();
    let state = instance.folder().join("state/ledger");
    let before = contents(&state);
    let offline = instance.ask(&["ledger", "proof", &serial]).unwrap();
    fs::write(path("offline"), offline).unwrap();
    let (status, said) = elsewhere(&["ledger", "verify-proof", &path("offline"), "--key", &key]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(code(&instance, &["ledger", "proof", "0123456789"]), 1);
    assert_eq!(code(&instance, &["ledger", "proof", "no serial"]), 1);
    assert!(before == contents(&state), "the ledger's folder was touched");
}

#[test]
fn an_auditor_follows_a_ledger_from_checkpoint_to_checkpoint() {
    let mut instance = quick("off");
    enrolled(&instance, "one");
    let folder = tempfile::tempdir().unwrap();
    let noted = folder.path().join("checkpoint");
    let noted = noted.to_str().unwrap();
    fs::write(noted, instance.ask(&["ledger", "checkpoint"]).unwrap()).unwrap();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let text = instance.ask(&[arguments, &["--json"]].concat()).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let first = json(&["ledger", "verify", "--checkpoint", noted]);
    assert_eq!(first["signed_checkpoints"], 2, "{first}");
    assert!(first["certificates"].as_u64() > Some(0), "{first}");
    let head = first["head"].as_str().unwrap().to_owned();

    enrolled(&instance, "two");
    let resumed = json(&["ledger", "verify", "--checkpoint", noted, "--resume"]);
    assert_eq!(resumed["certificates"], 1, "only what is new: {resumed}");
    let later = resumed["head"].as_str().unwrap().to_owned();
    assert_eq!(json(&["ledger", "consistency", &head, &later])["ok"], true);
    // Another root of that size is another ledger.
    let (size, _) = head.split_once(':').unwrap();
    let forged = format!("{size}:{}=", "A".repeat(43));
    assert_eq!(code(&instance, &["ledger", "consistency", &forged, &later]), 3);
    assert_eq!(code(&instance, &["ledger", "verify", "--head", &forged]), 3);
    assert_eq!(code(&instance, &["ledger", "consistency", "1", "1000000"]), 1);
    assert_eq!(code(&instance, &["ledger", "verify", "--resume"]), 2);
    // A checkpoint that another key signed is none.
    let note = fs::read_to_string(noted).unwrap();
    let forged = note.replacen("\n\u{2014} ", "\n\u{2014} x", 1);
    let path = folder.path().join("forged");
    fs::write(&path, forged).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(code(&instance, &["ledger", "verify", "--checkpoint", path]), 3);

    instance.stop().unwrap();
    let text = instance.ask(&["ledger", "verify", "--checkpoint", noted]).unwrap();
    assert!(text.contains("signed: 2 checkpoints"), "{text}");
    let consistent = instance.ask(&["ledger", "consistency", &head, &later]).unwrap();
    assert!(consistent.starts_with("consistent: "), "{consistent}");
    for arguments in [&["ledger", "migrate"][..], &["ledger", "migrate", "--check"]] {
        let said = instance.ask(arguments).unwrap();
        assert!(said.contains("all of version 1"), "{said}");
    }
}

#[test]
fn entries_are_listed_without_the_signer() {
    let mut instance = quick("off");
    enrolled(&instance, "listed");
    instance.stop().unwrap();
    let state = instance.folder().join("state/ledger");
    let before = contents(&state);
    let text = instance.ask(&["ledger", "list", "--json", "--limit", "1000"]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.last().unwrap().contains("\"event\":\"stop\""), "{text}");
    let last = (lines.len() - 1).to_string();
    let shown = instance.ask(&["ledger", "show", &last]).unwrap();
    assert!(shown.starts_with(&format!("sequence: {last}\n")), "{shown}");
    assert_eq!(code(&instance, &["ledger", "show", &lines.len().to_string()]), 1);
    let checkpoint = instance.ask(&["ledger", "checkpoint"]).unwrap();
    assert_eq!(checkpoint.lines().nth(1), Some(lines.len().to_string().as_str()));
    assert!(before == contents(&state), "the ledger's folder was touched");
    instance.start().unwrap();
    let online = instance.ask(&["ledger", "list", "--json", "--limit", &lines.len().to_string()]);
    assert_eq!(online.unwrap(), text);
}

#[test]
fn hashes_that_do_not_lead_to_the_head_prove_nothing() {
    let mut instance = quick("hashes");
    enrolled(&instance, "hashes");
    let checkpoint = instance.ask(&["ledger", "checkpoint"]).unwrap();
    let size = checkpoint.lines().nth(1).unwrap();
    let consistency = ["ledger", "consistency", "2", size];
    assert_eq!(code(&instance, &consistency), 0);
    let tree = instance.folder().join("state/ledger/tree");
    let file = fs::OpenOptions::new().write(true).open(tree.join("0")).unwrap();
    // The frontend keeps what it has served, so that another width is asked for.
    let tile = |width: u8| get(&instance, &format!("/log/tile/0/000.p/{width}")).status;
    assert_eq!(tile(2), 200);
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xaa; 8], 32).unwrap();
    assert_eq!(tile(3), 503, "it is not served");
    let output = instance.command(&consistency).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("tree/"), "{said}");
    instance.stop().unwrap();
    fs::remove_dir_all(&tree).unwrap();
    instance.start().unwrap();
    assert_eq!(code(&instance, &consistency), 0);
}

#[test]
fn an_export_is_the_log_as_files() {
    let mut instance = quick("off");
    enrolled(&instance, "exported");
    let folder = tempfile::tempdir().unwrap();
    let export = |instance: &Instance, name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let arguments = ["ledger", "export", "--out", out.to_str().unwrap()];
        instance.ask(&[&arguments[..], more].concat()).unwrap();
        assert_eq!(code(instance, &arguments), 9, "an export is not written over");
        out
    };
    let online = export(&instance, "online", &[]);
    let note = fs::read_to_string(online.join("checkpoint")).unwrap();
    let size: usize = note.lines().nth(1).unwrap().parse().unwrap();
    let bundle = fs::read(online.join(format!("tile/entries/000.p/{size}"))).unwrap();
    let recorded = ledger(&instance);
    assert!(recorded.len() >= size && bundle.windows(8).any(|w| w == b"exported"));
    assert_eq!(fs::read(online.join(format!("tile/0/000.p/{size}"))).unwrap().len(), size * 32);
    instance.stop().unwrap();
    let offline = export(&instance, "offline", &["--hashes"]);
    assert!(!offline.join("tile/entries").exists());
    // The earlier tile is a part of the later one.
    let hashes = contents(&offline.join("tile"));
    let (_, later) = &hashes[0];
    let (_, earlier) = contents(&online.join("tile/0")).remove(0);
    assert_eq!(later[..earlier.len()], earlier[..]);
}

#[test]
fn watch_prints_entries_as_they_come() {
    let instance = quick("off");
    let mut command = Command::new(chancery().unwrap());
    command.args(["ledger", "watch", "--json", "--config"]).arg(&instance.config);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It begins with what comes after its start: enrol until it shows something.
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| send.send(line)));
    let start = Instant::now();
    let mut line = None;
    while line.is_none() && start.elapsed() < Duration::from_secs(30) {
        enrolled(&instance, "watched");
        line = receive.recv_timeout(Duration::from_secs(2)).ok();
    }
    let entry = |line: String| -> serde_json::Value { serde_json::from_str(&line).unwrap() };
    let next = || entry(receive.recv_timeout(Duration::from_secs(30)).expect("an entry"));
    let mut first = entry(line.expect("an entry"));
    if first["event"] == "certificate" {
        // It began between the two.
        enrolled(&instance, "watched");
        first = next();
    }
    assert_eq!(first["event"], "reservation");
    let second = next();
    assert_eq!(second["event"], "certificate");
    assert_eq!(second["sequence"].as_u64(), first["sequence"].as_u64().map(|n| n + 1));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_verification_shows_its_progress_on_a_terminal_and_nowhere_else() {
    let mut instance = quick("off");
    enrolled(&instance, "shown");
    let binary = chancery().unwrap();
    let command =
        format!("'{}' ledger verify --config '{}'", binary.display(), instance.config.display());
    let on_terminal = || {
        let output = Command::new("script").args(["-qec", &command, "/dev/null"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("entries: ") && said.contains(" of "), "{said:?}");
    };
    on_terminal();
    let piped = instance.command(&["ledger", "verify"]).unwrap();
    assert!(piped.stderr.is_empty(), "{}", String::from_utf8_lossy(&piped.stderr));
    instance.stop().unwrap();
    on_terminal();
}

#[test]
fn a_command_without_signer_and_folder_says_what_to_do() {
    let instance = Instance::create(&Options::default()).unwrap();
    let broken = instance.folder().join("broken.toml");
    fs::write(&broken, fs::read_to_string(&instance.config).unwrap() + "\nrubbish = 1\n").unwrap();
    let mut command = Command::new(chancery().unwrap());
    let status = command.args(["ledger", "verify", "--config"]).arg(broken).status().unwrap();
    assert_eq!(status.code(), Some(8), "a configuration with an error");
    let output = instance.command(&["ledger", "proof", "01"]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cause:") && said.contains("next:"), "{said}");
}
