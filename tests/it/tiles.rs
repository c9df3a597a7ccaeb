//! The ledger as a log over HTTP: a client that is not ours (`tests/foreign`) checks
//! checkpoint, inclusion and consistency of a running instance; what is published is what the
//! configuration says, and no more than a signed checkpoint covers.

use std::process::Command;
use std::time::{Duration, Instant};

use softhsm_test::client::http::{self, Request, Response};
use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted, serial};

/// An instance whose checkpoints come quickly.
pub fn quick(publish: &str) -> Instance {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let settings = format!("[ledger]\npublish = \"{publish}\"\ncheckpoint_interval = \"1s\"\n");
    instance.configure(|text| text.replace("[ledger]\n", &settings)).unwrap();
    instance.start().unwrap();
    instance
}

pub fn get(instance: &Instance, path: &str) -> Response {
    let url = http::Url::parse(&instance.url).unwrap().with_path(path);
    http::send(&url, &Request::get(path)).unwrap()
}

/// The log's key as auditors get it.
pub fn verifier(instance: &Instance) -> String {
    let status = instance.ask(&["status", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["log"]["verifier"].as_str().unwrap().to_owned()
}

/// Number of entries under the published checkpoint, once it covers `least`.
fn published(instance: &Instance, least: u64) -> u64 {
    let start = Instant::now();
    loop {
        let response = get(instance, "/log/checkpoint");
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        let size = response.text().lines().nth(1).unwrap().parse().unwrap();
        if size >= least {
            return size;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{size} of {least}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn bundle_path(size: u64) -> String {
    assert!(size < 256, "the test's ledger has one bundle");
    format!("/log/tile/entries/000.p/{size}")
}

/// Runs the client that is not ours; whether it found everything good, and what it said.
fn foreign(arguments: &[&str]) -> (bool, String) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--locked", "--manifest-path"]);
    command.arg(root.join("tests/foreign/Cargo.toml")).arg("--target-dir");
    command.arg(root.join("target/foreign")).arg("--").args(arguments);
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn a_foreign_client_checks_checkpoint_inclusion_and_consistency() {
    let instance = quick("entries");
    let server = instance.server().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let before = published(&instance, 1);
    let old = file("old", &get(&instance, "/log/checkpoint").text());
    let mut serials = Vec::new();
    for name in ["first", "second", "third"] {
        let (device, draft) = good(&instance, &server, name);
        serials.push(serial(&granted(&instance, &server, &device, &draft)));
    }
    published(&instance, before + 6);
    // Our own proofs, for its code to check.
    let proof =
        |serial: &String| file(serial, &instance.ask(&["ledger", "proof", serial]).unwrap());
    let proofs: Vec<String> = serials.iter().map(proof).collect();
    let note = instance.ask(&["ledger", "checkpoint"]).unwrap();
    let old_size = std::fs::read_to_string(&old).unwrap().lines().nth(1).unwrap().to_owned();
    let new_size = note.lines().nth(1).unwrap();
    let json = instance.ask(&["ledger", "consistency", &old_size, new_size, "--json"]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let path = json["proof"].as_array().unwrap().iter().map(|hash| hash.as_str().unwrap());
    let path: Vec<&str> = path.collect();
    let consistency = file("consistency", &format!("{}\n\n{note}", path.join("\n")));

    let url = http::Url::parse(&instance.url).unwrap();
    let key = verifier(&instance);
    let mut arguments = vec![url.authority.as_str(), key.as_str()];
    arguments.extend(proofs.iter().map(String::as_str));
    arguments.extend(["--old", &old, "--consistency", &consistency]);
    let (good, said) = foreign(&arguments);
    assert!(good, "{said}");
    assert!(said.contains("3 proofs, 2 consistencies: good"), "{said}");
    // Another log's key, and an older checkpoint that the log did not sign, are refused.
    arguments[1] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    assert!(!foreign(&arguments).0);
    let text = std::fs::read_to_string(&old).unwrap();
    let forged = file("forged", &text.replacen(&format!("\n{old_size}\n"), "\n1\n", 1));
    assert!(!foreign(&[&url.authority, &key, "--old", &forged]).0);
}

#[test]
fn hashes_are_public_and_entries_are_not_by_default() {
    let mut instance = quick("hashes");
    let size = published(&instance, 1);
    let hashes = format!("/log/tile/0/000.p/{size}");
    let first = get(&instance, &hashes);
    assert_eq!(first.header("content-type"), Some("application/octet-stream"));
    let cached = "public, max-age=31536000, immutable";
    assert_eq!(first.header("cache-control"), Some(cached));
    assert_eq!((first.status, first.body.len() as u64), (200, size * 32));
    assert_eq!(get(&instance, &bundle_path(size)).status, 404);
    // No more than the checkpoint covers, no other form of a path, no other method.
    for path in [
        "/log/tile/0/000.p/255".to_owned(),
        "/log/tile/0/000".to_owned(),
        "/log/tile/0/x000/000".to_owned(),
        "/log/tile/0/000.p/0".to_owned(),
        "/log/tile/".to_owned(),
        "/log/".to_owned(),
        "/log/checkpoint/".to_owned(),
        format!("/log//tile/0/000.p/{size}"),
        format!("/log/tile/64/000.p/{size}"),
    ] {
        assert_eq!(get(&instance, &path).status, 404, "{path}");
    }
    let url = http::Url::parse(&instance.url).unwrap().with_path("/log/checkpoint");
    let posted = http::send(&url, &Request::post("/log/checkpoint", vec![1])).unwrap();
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
    let known = Request::get(&hashes).header("If-None-Match", first.header("etag").unwrap());
    assert_eq!(http::send(&url, &known).unwrap().status, 304);
    // Tiles that were served stay the same, over a restart and whatever comes after them.
    instance.stop().unwrap();
    instance.start().unwrap();
    published(&instance, size + 1);
    assert_eq!(get(&instance, &hashes).body, first.body);
}

#[test]
fn nothing_is_published_where_the_configuration_says_off() {
    let instance = quick("off");
    for path in ["/log/checkpoint", "/log/tile/0/000.p/1", "/log/tile/entries/000.p/1"] {
        assert_eq!(get(&instance, path).status, 404, "{path}");
    }
}
