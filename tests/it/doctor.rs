//! `chancery doctor`: what is good is called good, and each defect is named with its cause and the next
//! step, by the status that scripts look at.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use openssl::hash::MessageDigest;
use openssl::x509::X509;
use serde_json::Value;
use softhsm_test::instance::{Instance, Options, chancery};

use crate::common::{good, refused, shared, with_csr};

/// What `chancery doctor --json` said, and how it ended.
fn examined(instance: &Instance, more: &[&str]) -> (Value, Option<i32>) {
    let arguments = [&["doctor", "--json"], more].concat();
    let output = instance.command(&arguments).unwrap();
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (said, output.status.code())
}

/// The findings of a check with this severity, as lines.
fn findings(said: &Value, severity: &str, check: &str) -> Vec<String> {
    let all = said["findings"].as_array().unwrap().iter();
    let wanted = all.filter(|f| f["severity"] == severity && f["check"] == check);
    let line = |f: &Value| format!("{}: {}; {}", f["thing"], f["cause"], f["next"]);
    wanted.map(line).collect()
}

fn errors(said: &Value) -> Vec<&Value> {
    said["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == "error").collect()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn a_healthy_instance_has_no_error_and_shows_its_thumbprints() {
    // Its own: the log of a shared one has what other tests are refused for.
    let instance = Instance::serve().unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(errors(&said), Vec::<&Value>::new());
    assert_eq!(status, Some(0));
    for check in [
        "configuration",
        "validity",
        "chain",
        "ra",
        "signer",
        "ledger",
        "clock",
        "token",
        "mechanisms",
        "crl",
        "policy",
        "capabilities",
        "certificates",
        "transport",
    ] {
        assert!(!findings(&said, "good", check).is_empty(), "nothing good of {check}: {said}");
    }
    let mechanisms = findings(&said, "good", "mechanisms").concat();
    for needed in ["CKM_RSA_X_509 for RA decryption", "CKM_RSA_PKCS for RA signing"] {
        assert!(mechanisms.contains(needed), "{mechanisms}");
    }
    // A laboratory is told that it is one.
    assert!(findings(&said, "warning", "policy").concat().contains("lab = true"));
    // Everything that is not good has a next step.
    for f in said["findings"].as_array().unwrap() {
        assert_eq!(f["severity"] == "good", f["next"].is_null(), "{f}");
    }
    let issuing = X509::from_pem(&std::fs::read(&instance.chain).unwrap()).unwrap();
    let digest = |md| hex::encode(issuing.digest(md).unwrap());
    let shown = said["thumbprints"].as_array().unwrap();
    let ours = shown.iter().find(|t| t["sha256"] == digest(MessageDigest::sha256())).unwrap();
    assert_eq!(ours["sha1"], digest(MessageDigest::sha1()));
    assert_eq!(ours["md5"], digest(MessageDigest::md5()));
    assert_eq!(shown.len(), 4, "RA decryption and signing, issuing CA, root: {shown:?}");
    let printed = instance.ask(&["doctor"]).unwrap();
    assert!(printed.contains(&digest(MessageDigest::sha1())) && printed.contains("next: "));
    let logs = instance.logs();
    assert!(!logs.contains("is not supported"), "mechanisms without a name are no news: {logs}");
    assert!(!instance.ask(&["doctor", "--problems"]).unwrap().contains("\ngood "));
}

#[test]
fn a_device_sees_what_it_needs_and_the_ledger_nothing_of_it() {
    let instance = shared();
    let before = instance.ask(&["ledger", "list"]).unwrap();
    let run = |url: &str| {
        let mut command = Command::new(chancery().unwrap());
        command.args(["doctor", "--json", "--url", url, "--config", "/nowhere"]).output().unwrap()
    };
    let output = run(&instance.url);
    assert!(output.status.success(), "{}", text(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    for check in ["capabilities", "certificates", "validity", "clock", "transport"] {
        assert!(!findings(&said, "good", check).is_empty(), "nothing good of {check}: {said}");
    }
    assert_eq!(said["thumbprints"].as_array().unwrap().len(), 4);
    // Other tests work at this instance at the same time, and none of them is refused as unreadable.
    let after = instance.ask(&["ledger", "list"]).unwrap();
    assert!(after.starts_with(&before) && !after[before.len()..].contains("unreadable"), "{after}");

    let output = run(&instance.url.replace("/scep/device", "/scep/nowhere"));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("HTTP 404") && text(&output).contains("endpoint.NAME.path"));
    let output = run("https://ca.example/scep");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    let output = run("http://127.0.0.1:1/scep");
    assert!(text(&output).contains("cannot be reached"), "{}", text(&output));
}

/// A server that gives the same answer to whatever it is asked.
fn stuck(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/scep", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 65_536]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn a_server_that_devices_cannot_use_is_told_why() {
    let run = |url: &str| {
        Command::new(chancery().unwrap()).args(["doctor", "--url", url]).output().unwrap()
    };
    let reply = |kind: &str, date: &str, body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nDate: {date}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )
    };
    // A captive portal, or a proxy's page.
    let page =
        reply("text/html; charset=utf-8", "Sun, 06 Nov 1994 08:49:37 GMT", "<p>\x1b[2JLog in</p>");
    let output = run(&stuck(page));
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for cause in [
        "media type text/html; charset=utf-8 where clients need text/plain",
        "SCEPStandard, AES, POSTPKIOperation, SHA-256 is missing",
        "GetCACert returns no certificates",
        "the server's clock says 1994-11-06",
        "is answered by HTTP 200, not 400",
    ] {
        assert!(said.contains(cause), "{cause} in:\n{said}");
    }
    assert!(!said.contains('\x1b'), "what a server says reaches no terminal raw");
    // Keywords in the wrong case, a blank line.
    let caps = "aes\n\nPOSTPKIOperation\nSHA-256\nSCEPStandard\n";
    let said = text(&run(&stuck(reply("text/plain", "", caps))));
    assert!(
        said.contains("aes where clients look for AES") && said.contains("blank line"),
        "{said}"
    );
}

#[test]
fn row_028_quirk_30_a_certificate_in_the_wrong_place_is_found_and_keeps_the_signer_from_starting() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let (said, _) = examined(&instance, &[]);
    assert!(findings(&said, "error", "ra").is_empty(), "{said}");
    // The two certificates of the RA in each other's place, keys and all.
    instance
        .configure(|text| {
            let swapped =
                text.replace("ra_decryption", "\u{0}").replace("ra_signing", "ra_decryption");
            swapped.replace('\u{0}', "ra_signing")
        })
        .unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(8), "{said}");
    let wrong = findings(&said, "error", "ra").concat();
    assert!(wrong.contains("ra_decryption") && wrong.contains("lacks keyEncipherment"), "{wrong}");
    assert!(wrong.contains("ra_signing") && wrong.contains("lacks digitalSignature"), "{wrong}");
    let failure = instance.start().unwrap_err().to_string();
    assert!(
        failure.contains("lacks keyEncipherment") || failure.contains("lacks digitalSignature"),
        "{failure}"
    );
}

#[test]
fn without_a_signer_the_token_is_looked_at_all_the_same() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(findings(&said, "error", "signer").concat().contains("start the signer"), "{said}");
    assert!(!findings(&said, "good", "token").is_empty(), "{said}");
    assert!(!findings(&said, "good", "mechanisms").is_empty(), "{said}");
    // A key that needs what the token's policy forbids: a profile that asks for another mechanism.
    let profile = include_str!("../../pkcs11-profiles/softhsm2.toml");
    let strange = profile.replace("sign_rsa = \"raw-digestinfo\"", "sign_rsa = \"sha-in-module\"");
    let path = instance.folder().join("strange.toml");
    std::fs::write(
        &path,
        strange.replace("sign_ecdsa = \"raw\"", "sign_ecdsa = \"sha-in-module\""),
    )
    .unwrap();
    instance
        .configure(|text| {
            text.replace(
                "profile = \"softhsm2\"",
                &format!("profile = {:?}", path.display().to_string()),
            )
        })
        .unwrap();
    let (said, _) = examined(&instance, &[]);
    let good = findings(&said, "good", "mechanisms").concat();
    assert!(good.contains("CKM_SHA256_RSA_PKCS"), "{said}");
    // A token that is not there.
    instance
        .configure(|text| text.replace("label = \"chancery-lab\"", "label = \"no-lab\""))
        .unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(7), "{said}");
    // What is not even a configuration.
    instance.configure(|text| text.replace("version = 1", "version = 1\nversoin = 2")).unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(8), "{said}");
    assert!(findings(&said, "error", "configuration").concat().contains("versoin"), "{said}");
    assert!(instance.stop().unwrap().is_empty());
}

/// What the healthy instance's test sees as good, in its other state: a CA whose chain does not lead to its
/// root, a ledger that takes nothing, a host whose clock runs free.
#[test]
fn a_broken_chain_a_closed_ledger_and_a_free_clock_are_found() {
    let mut instance = Instance::serve().unwrap();
    instance.ask(&["maintenance", "on", "--reason", "the rack moves"]).unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(1), "{said}");
    let closed = findings(&said, "error", "ledger").concat();
    assert!(closed.contains("the rack moves") && closed.contains("maintenance off"), "{closed}");
    instance.ask(&["maintenance", "off"]).unwrap();
    assert!(findings(&examined(&instance, &[]).0, "error", "ledger").is_empty());

    // As timedatectl(1) answers where no NTP client runs, where one does, and where it is not there.
    let tools = instance.folder().join("tools");
    std::fs::create_dir(&tools).unwrap();
    for (answer, severity) in [("no", "warning"), ("yes", "good"), ("perhaps", "notice")] {
        let tool = tools.join("timedatectl");
        std::fs::write(&tool, format!("#!/bin/sh\necho {answer}\n")).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new(chancery().unwrap());
        command.args(["doctor", "--json", "--config"]).arg(&instance.config).env("PATH", &tools);
        let said = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let clock = findings(&said, severity, "clock").concat();
        assert!(clock.contains("this host's clock"), "{answer}: {said}");
    }

    instance.stop().unwrap();
    let wrong = "chain = [\"certificates/ra-signing.pem\"]";
    instance
        .configure(|text| text.replacen("chain = [\"certificates/root.pem\"]", wrong, 1))
        .unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(8), "{said}");
    let chain = findings(&said, "error", "chain").concat();
    assert!(chain.contains("ca.issuing") && chain.contains("the root last"), "{chain}");
}

#[test]
fn what_runs_is_held_against_what_is_configured() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    instance.start().unwrap();
    assert_eq!(examined(&instance, &[]).1, Some(0));
    let setting = "[endpoint.device]\nalgorithms = { sha1 = true, des_and_md5 = true }";
    instance.configure(|text| text.replace("[endpoint.device]", setting)).unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(findings(&said, "warning", "signer").concat().contains("changed since it started"));
    let policy = findings(&said, "error", "policy").concat();
    assert!(policy.contains("SHA-1") && policy.contains("restart the signer"), "{policy}");
    // After the restart the policy is what runs, and what is weak is warned of.
    instance.stop().unwrap();
    instance.start().unwrap();
    let (said, status) = examined(&instance, &[]);
    assert_eq!(status, Some(0), "{said}");
    assert!(findings(&said, "warning", "capabilities").concat().contains("SHA-1 is accepted"));
    assert!(findings(&said, "warning", "policy").concat().contains("single DES and MD5"));
    // The status says so too, without a doctor.
    let shown = instance.ask(&["status"]).unwrap();
    assert!(shown.contains("single DES and MD5, against RFC 8894; SHA-1"), "{shown}");
    // Without a frontend, devices reach nothing.
    instance.stop().unwrap();
    instance.start_role("signer").unwrap();
    let said = (0..200)
        .map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            examined(&instance, &[]).0
        })
        .find(|said| !findings(said, "good", "signer").is_empty())
        .expect("the signer answers");
    assert!(findings(&said, "error", "transport").concat().contains("cannot be reached"), "{said}");
}

/// A failure line says what to change on the device, or that only the signer's log may know more (I7).
#[test]
fn refusals_leave_a_line_that_says_what_to_change_on_the_device() {
    use softhsm_test::client::{Cipher, Csr, Digest, keys};

    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let mut expected = Vec::new();
    let (device, draft) = with_csr(&server, "a", Csr::new("a").challenge("wrong"));
    refused(&server, &device, &draft, 2);
    expected.push((device.transaction_id(), "challenge"));
    let (device, draft) = with_csr(&server, "b", Csr::new("b"));
    refused(&server, &device, &draft, 2);
    expected.push((device.transaction_id(), "challenge"));
    let (device, mut draft) = good(&instance, &server, "c");
    draft.message.digest = Digest::Sha1;
    refused(&server, &device, &draft, 0);
    expected.push((device.transaction_id(), "SHA-256"));
    let (device, mut draft) = good(&instance, &server, "d");
    draft.envelope.as_mut().unwrap().cipher = Cipher::Des;
    refused(&server, &device, &draft, 0);
    expected.push((device.transaction_id(), "AES"));
    let csr = Csr::new("e").challenge(&instance.challenge).dns_names(&["*.example"]);
    let (device, draft) = with_csr(&server, "e", csr);
    refused(&server, &device, &draft, 2);
    expected.push((device.transaction_id(), "a dns name is refused"));
    let small =
        softhsm_test::client::Device::with_key(keys::fresh_rsa(1024).unwrap(), "f").unwrap();
    let csr = Csr::new("f").challenge(&instance.challenge).build(&small.key).unwrap();
    let draft = server.draft(&small, "19", csr).unwrap();
    refused(&server, &small, &draft, 0);
    expected.push((small.transaction_id(), "2048"));
    let logs = instance.logs();
    for (transaction, remedy) in expected {
        let line = logs.lines().find(|l| l.contains(&transaction) && l.contains("signer:"));
        let line = line.unwrap_or_else(|| panic!("no line of {transaction} in:\n{logs}"));
        assert!(line.contains(remedy), "no {remedy:?} in: {line}");
        assert!(line.contains("the device"), "{line}");
    }
}
