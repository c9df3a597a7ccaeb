//! strongSwan's `pki --scep`, a client that nobody here wrote (quirks 7 to 10).

use std::path::Path;
use std::process::Command;

use softhsm_test::instance::{Instance, Options};

use crate::common::{run, shared};
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
}
