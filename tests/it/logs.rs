//! What stands in the logs, and what must never (I11, threats T37 and T53).

use std::path::{Path, PathBuf};

use softhsm_test::client::{Csr, Delivery, Escaping, Text, der};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_REQUEST, good, granted, refused, serial, with_csr};

/// An instance that logs all that it ever would.
fn talkative() -> Instance {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.configure(|text| text + "\n[log]\nlevel = \"trace\"\n").unwrap();
    instance.start_roles().unwrap();
    instance
}

/// The files that hold PINs, by what the configuration names.
fn pins(instance: &Instance) -> Vec<String> {
    let config = std::fs::read_to_string(&instance.config).unwrap();
    let folder = instance.config.parent().unwrap().to_path_buf();
    let value = |line: &str| -> Option<PathBuf> {
        let rest = line.trim().strip_prefix("pin_file")?.trim_start().strip_prefix('=')?;
        Some(folder.join(rest.trim().trim_matches('"')))
    };
    let files: Vec<PathBuf> = config.lines().filter_map(value).collect();
    assert!(!files.is_empty(), "no pin_file in the configuration");
    files.iter().map(|f| std::fs::read_to_string(f).unwrap().trim().to_owned()).collect()
}

#[test]
fn t37_no_secret_in_logs_arguments_environments_or_the_folder() {
    let mut instance = talkative();
    let server = instance.server().unwrap();
    let (granted_device, draft) = good(&instance, &server, "subject-of-the-secrets-test");
    granted(&instance, &server, &granted_device, &draft);
    let wrong = "canary-of-a-wrong-challenge";
    let (device, mut draft) = with_csr(&server, "wrong", Csr::new("wrong").challenge(wrong));
    refused(&server, &device, &draft, BAD_REQUEST);
    // Zeros fill the last block and are no padding.
    let missing = 16 - draft.plaintext.len() % 16;
    draft.envelope.as_mut().unwrap().padding = Some(vec![0; missing]);
    server.send(&device, &draft).unwrap().failure().unwrap();
    let mut secrets = pins(&instance);
    secrets.push(instance.challenge.clone());
    secrets.push(wrong.to_owned());
    assert!(secrets.iter().all(|s| s.len() >= 6), "a secret too short to be looked for");

    let mut places = Vec::new();
    for role in ["signer", "frontend"] {
        let proc = Path::new("/proc").join(instance.service(role).unwrap().pid().to_string());
        for file in ["cmdline", "environ"] {
            let bytes = std::fs::read(proc.join(file)).unwrap();
            assert!(!bytes.is_empty(), "{role} {file}");
            places.push((format!("{role} {file}"), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    instance.stop().unwrap();
    let logs = instance.logs();
    assert!(logs.contains(&granted_device.transaction_id()), "this is not the log:\n{logs}");
    places.push(("the log".to_owned(), logs));
    for secret in &secrets {
        for (place, text) in &places {
            assert!(!text.contains(secret.as_str()), "{place} holds a secret");
        }
    }
    // T17: no challenge is on the disk in the clear, the wrong one or the right one: the ledger
    // keeps the request that carried it sealed.
    for (what, challenge) in [("wrong", wrong), ("right", instance.challenge.as_str())] {
        let holding = holding(&instance, challenge);
        assert!(holding.is_empty(), "the {what} challenge is in {holding:?}");
    }
    // The search finds what is there: the certificate's subject in the ledger.
    assert!(!holding(&instance, "subject-of-the-secrets-test").is_empty());
}

/// The files of the instance that hold `text` in the clear.
fn holding(instance: &Instance, text: &str) -> Vec<PathBuf> {
    let holds = |path: &PathBuf| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(text.len()).any(|w| w == text.as_bytes())
    };
    files(instance.folder()).into_iter().filter(holds).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.metadata() {
            Ok(m) if m.is_dir() => all.extend(files(&path)),
            Ok(m) if m.is_file() => all.push(path),
            // A socket, or the place of one.
            _ => {}
        }
    }
    all
}

#[test]
fn one_line_an_enrolment() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "line");
    let certificate = granted(&instance, &server, &device, &draft);
    let (other, draft) = with_csr(&server, "no", Csr::new("no").challenge("not the right one"));
    refused(&server, &other, &draft, BAD_REQUEST);
    instance.stop().unwrap();
    let logs = instance.logs();
    let of = |id: &str| -> Vec<String> {
        let about = |l: &&str| l.contains(" signer: ") && l.contains(id);
        logs.lines().filter(about).map(str::to_owned).collect()
    };
    let lines = of(&device.transaction_id());
    let [line] = lines.as_slice() else { panic!("{} lines:\n{logs}", lines.len()) };
    let serial = format!("serial={}", serial(&certificate));
    for field in ["event=enrolment", "endpoint=device", "outcome=issued", "millis=", &serial] {
        assert!(line.contains(field), "no {field} in {line}");
    }
    let lines = of(&other.transaction_id());
    let [line] = lines.as_slice() else { panic!("{} lines:\n{logs}", lines.len()) };
    for field in ["event=refused", "outcome=refused", "wrong-challenge", "millis="] {
        assert!(line.contains(field), "no {field} in {line}");
    }
}

#[test]
fn row_106_no_subject_and_no_message_is_in_the_log() {
    let mut instance = talkative();
    let server = instance.server().unwrap();
    let mut messages = Vec::new();
    let canaries = ["canary-of-a-subject", "canary.of.a.name.example", "canary-of-a-refused-one"];
    let csr = || Csr::new(canaries[0]).challenge(&instance.challenge).dns_names(&[canaries[1]]);
    let no_names = Csr::new(canaries[2]).challenge("canary-of-a-wrong-challenge");
    for delivery in [Delivery::Get(Escaping::Full), Delivery::Post(None)] {
        for csr in [csr(), no_names.clone()] {
            let (device, draft) = with_csr(&server, "device", csr);
            let sent = draft.build(&device).unwrap();
            let answer = server.deliver(&sent.body, &delivery).unwrap();
            server.read(&answer, &sent, &device).unwrap();
            messages.push((device.transaction_id(), Escaping::Full.encode(&sent.body)));
        }
    }
    instance.stop().unwrap();
    let logs = instance.logs();
    for (id, message) in messages {
        assert!(logs.contains(&id), "the control: this is the log");
        // Neither the whole nor a part of it: the beginnings of all messages are alike, so from the middle.
        let middle = &message[message.len() / 2..][..60];
        assert!(!logs.contains(middle) && !logs.contains(&message[..60]), "a message is logged");
    }
    for canary in canaries {
        assert!(!logs.contains(canary), "{canary} is logged");
    }
    assert!(!logs.contains("message="), "a query string is logged");
}

#[test]
fn row_106_t53_what_a_client_sends_forges_no_line() {
    let mut instance = talkative();
    let server = instance.server().unwrap();
    let evil = "x\n2030-01-01T00:00:00.000Z ERROR signer: forged\r\x1b[2J";
    for tag in [der::tag::UTF8, der::tag::PRINTABLE, der::tag::OCTET_STRING] {
        let (device, mut draft) = good(&instance, &server, evil);
        draft.message.transaction_id = Text { tag, bytes: evil.as_bytes().to_vec() };
        let sent = draft.build(&device).unwrap();
        server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
    }
    let (device, draft) = with_csr(&server, evil, Csr::new(evil).challenge(&instance.challenge));
    let sent = draft.build(&device).unwrap();
    let request =
        server.operation(&sent.body, &Delivery::Post(None)).header("User-Agent", "\x1b[2J");
    softhsm_test::client::http::send(&server.url, &request).unwrap();
    instance.stop().unwrap();
    let logs = instance.logs();
    assert!(logs.contains(r"x\\0a2030-01-01T00:00:00.000Z"), "the control: {logs}");
    for line in logs.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.starts_with("2030-"), "{line:?}");
    }
}
