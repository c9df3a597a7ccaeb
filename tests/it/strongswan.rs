//! strongSwan's `pki --scep`, a client that nobody here wrote (quirks 7 to 10).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use softhsm_test::client::Escaping;
use softhsm_test::client::http::{self, Request, Url};
use softhsm_test::instance::{Instance, Options};

use crate::common::{ledger, run, shared};
use crate::openssl_tools::verified;

fn pki(folder: &Path, arguments: &[&str]) -> String {
    run(Command::new("pki").args(arguments).current_dir(folder))
}

/// The file among `names` whose certificate has this key usage.
fn with_usage(folder: &Path, usage: &str) -> String {
    let files = std::fs::read_dir(folder).unwrap();
    let names = files.map(|f| f.unwrap().file_name().into_string().unwrap());
    let mut found = names.filter(|n| n.starts_with("ra") && n.ends_with(".pem")).filter(|name| {
        let path = folder.join(name);
        let printed = run(Command::new("openssl")
            .args(["x509", "-noout", "-ext", "keyUsage", "-in"])
            .arg(path));
        printed.contains(usage)
    });
    found.next().unwrap_or_else(|| panic!("no RA certificate with {usage}"))
}

/// The CA's files and a fresh key in a folder.
fn prepared(url: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    pki(
        at,
        &["--scepca", "--url", url, "--caout", "ca.pem", "--raout", "ra.pem", "--outform", "pem"],
    );
    run(Command::new("openssl").args(["genrsa", "-out", "key.pem", "2048"]).current_dir(at));
    folder
}

fn enrol(folder: &Path, url: &str, challenge: &str, more: &[&str]) -> std::process::Output {
    let encryption = with_usage(folder, "Key Encipherment");
    let signing = with_usage(folder, "Digital Signature");
    let mut command = Command::new("pki");
    command.args(["--scep", "--url", url, "--in", "key.pem", "--outform", "pem"]);
    command.args(["--dn", "C=CH, O=strongSwan Project, CN=carol", "--password", challenge]);
    command.args(["--cacert-enc", &encryption, "--cacert-sig", &signing]);
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.starts_with("ca") {
            command.args(["--cacert", &name]);
        }
    }
    command.args(more).current_dir(folder).output().unwrap()
}

#[test]
fn quirk_07_strongswan_enrols_with_each_digest() {
    let instance = shared();
    let folder = prepared(&instance.url);
    for digest in ["sha256", "sha384", "sha512"] {
        let at = folder.path();
        run(Command::new("openssl").args(["genrsa", "-out", "key.pem", "2048"]).current_dir(at));
        let more = ["--digest", digest, "--san", "carol.example"];
        let output = enrol(at, &instance.url, &instance.challenge, &more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{digest}: {said}");
        let device = at.join("device.pem");
        std::fs::write(&device, &output.stdout).unwrap();
        verified(&instance, &device, at);
    }
}

#[test]
fn strongswan_is_told_of_a_wrong_challenge() {
    let instance = shared();
    let folder = prepared(&instance.url);
    let output = enrol(folder.path(), &instance.url, "this is not the challenge", &[]);
    assert!(!output.status.success() && output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("badRequest") || said.contains("not permitted"), "{said}");
}

#[test]
fn row_063_strongswan_renews_with_a_new_key() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let renewal = "[endpoint.device]\nrenewal = { window = \"3650d\" }";
    instance.configure(|text| text.replace("[endpoint.device]", renewal)).unwrap();
    instance.start().unwrap();
    let url = instance.url.clone();
    let folder = prepared(&url);
    let at = folder.path();
    let output = enrol(at, &url, &instance.challenge, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(at.join("old.pem"), &output.stdout).unwrap();
    std::fs::rename(at.join("key.pem"), at.join("old-key.pem")).unwrap();
    run(Command::new("openssl").args(["genrsa", "-out", "key.pem", "2048"]).current_dir(at));
    let more = ["--cert", "old.pem", "--key", "old-key.pem"];
    let output = enrol(at, &url, "", &more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let device = at.join("device.pem");
    std::fs::write(&device, &output.stdout).unwrap();
    verified(&instance, &device, at);
    // It is a RenewalReq (17), and the ledger knows what proved the right to it.
    assert!(instance.logs().contains("message_type=RenewalReq"), "{}", instance.logs());
    let entries = ledger(&instance);
    let reserved = entries.iter().filter(|e| e.event == "reservation");
    let evidence: Vec<&str> = reserved.map(|e| e.field("evidence")).collect();
    assert_eq!(evidence, ["challenge", "renewal"]);
}

/// Passes requests on to `to`; what comes by POST goes on as a GET in strongSwan's escaping. Returns the
/// URL here, and a count of the messages.
fn by_get(to: &str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = Url::parse(to).unwrap();
    let here = to.replace(&there.authority, &listener.local_addr().unwrap().to_string());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let mut target = line.split(' ').nth(1).unwrap_or("/").to_owned();
            let mut length = 0;
            while line != "\r\n" && !line.is_empty() {
                line.clear();
                stream.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            if !body.is_empty() {
                counted.fetch_add(1, Ordering::Relaxed);
                target = format!("{target}&message={}", Escaping::Lines.encode(&body));
            }
            let answer = http::send(&there, &Request::get(&target)).unwrap();
            let (kind, length) = (answer.header("content-type").unwrap(), answer.body.len());
            let head = format!(
                "HTTP/1.1 {} OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
                 Connection: close\r\n\r\n",
                answer.status
            );
            stream.get_mut().write_all(&[head.as_bytes(), &answer.body].concat()).unwrap();
        }
    });
    (here, count)
}

/// strongSwan 5.9.8 uses GET under no capabilities that let it go on at all (Q7), so its own messages are
/// carried by GET for it, escaped as it does.
#[test]
fn row_005_quirk_10_strongswans_message_by_get() {
    let instance = shared();
    let (url, count) = by_get(&instance.url);
    let folder = prepared(&url);
    let at = folder.path();
    let output = enrol(at, &url, &instance.challenge, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let device = at.join("device.pem");
    std::fs::write(&device, &output.stdout).unwrap();
    verified(&instance, &device, at);
}
