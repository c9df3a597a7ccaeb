//! certmonger: what its `scep-submit` reads of the endpoint, and an enrolment and a refusal by its
//! session daemon on a socket of its own (no system D-Bus is needed).

use std::path::{Path, PathBuf};
use std::process::Command;

use softhsm_test::instance::{Instance, Options};

use crate::common::{ledger, run, shared};
use crate::openssl_tools::verified;

/// A helper of certmonger, wherever the distribution puts it.
fn helper(name: &str) -> PathBuf {
    let folders = ["/usr/lib/certmonger", "/usr/libexec/certmonger", "/usr/libexec"];
    let found = folders.iter().map(|f| Path::new(f).join(name)).find(|p| p.exists());
    found.unwrap_or_else(|| panic!("no {name}; `make deps` installs certmonger"))
}

#[test]
fn quirk_05_scep_submit_reads_capabilities_and_certificates() {
    let instance = shared();
    let submit = helper("scep-submit");
    let caps = run(Command::new(&submit).args(["-c", "-u", &instance.url]));
    for capability in ["AES", "SHA-256", "POSTPKIOperation", "SCEPStandard"] {
        assert!(caps.contains(capability), "{caps}");
    }
    let certificates = run(Command::new(&submit).args(["-C", "-u", &instance.url]));
    assert!(certificates.matches("-----BEGIN CERTIFICATE-----").count() >= 3, "{certificates}");
}

/// Runs `getcert` commands under a session daemon whose home is `folder`.
fn session(folder: &Path, commands: &str) -> std::process::Output {
    let script = folder.join("commands");
    std::fs::write(&script, commands).unwrap();
    Command::new("timeout")
        .arg("120")
        .arg(helper("certmonger-session"))
        .args(["-L", "-P"])
        .arg(folder.join("socket"))
        .args(["-n", "-c", &format!("sh {}", script.display())])
        .env("HOME", folder)
        .output()
        .unwrap()
}

/// certmonger enrols in the folder `at`, does the commands `then`, and is content in the end.
#[track_caller]
fn monitored(instance: &Instance, at: &Path, then: &str) {
    let commands = format!(
        "getcert add-scep-ca -c chancery -u {} -R {}\n\
         getcert request -c chancery -k {dir}/key.pem -f {dir}/certificate.pem \
         -N CN=certmonger -D certmonger.example -L {} -w\n{then}getcert list\n",
        instance.url,
        instance.root.display(),
        instance.challenge,
        dir = at.display()
    );
    let output = session(at, &commands);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("status: MONITORING"), "{said}");
}

#[test]
fn quirk_06_certmonger_enrols() {
    let instance = shared();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    monitored(&instance, at, "");
    let certificate = at.join("certificate.pem");
    verified(&instance, &certificate, at);
    let subject = run(Command::new("openssl")
        .args(["x509", "-noout", "-subject", "-ext", "subjectAltName", "-in"])
        .arg(&certificate));
    assert!(subject.contains("certmonger.example"), "{subject}");
}

#[test]
fn row_065_certmonger_renews_with_a_new_key() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let renewal = "[endpoint.device]\nrenewal = { window = \"3650d\" }";
    instance.configure(|text| text.replace("[endpoint.device]", renewal)).unwrap();
    instance.start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let dir = at.display();
    let rekey = format!(
        "cp {dir}/certificate.pem {dir}/first.pem\ngetcert rekey -f {dir}/certificate.pem -w\n"
    );
    monitored(&instance, at, &rekey);
    let public = |name: &str| {
        verified(&instance, &at.join(name), at);
        let mut openssl = Command::new("openssl");
        run(openssl.args(["x509", "-noout", "-pubkey", "-in"]).arg(at.join(name)))
    };
    assert_ne!(public("first.pem"), public("certificate.pem"));
    // The ledger says by what: the challenge first, then the old certificate.
    let entries = ledger(&instance);
    let reserved = entries.iter().filter(|e| e.event == "reservation");
    let evidence: Vec<&str> = reserved.map(|e| e.field("evidence")).collect();
    assert_eq!(evidence, ["challenge", "renewal"]);
}

#[test]
fn certmonger_is_told_of_a_wrong_challenge() {
    let instance = Instance::serve().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let commands = format!(
        "getcert add-scep-ca -c chancery -u {} -R {}\n\
         getcert request -c chancery -k {dir}/key.pem -f {dir}/certificate.pem \
         -N CN=certmonger -L wrong-challenge-password -w\n\
         getcert list\n",
        instance.url,
        instance.root.display(),
        dir = at.display()
    );
    let output = session(at, &commands);
    let said = String::from_utf8_lossy(&output.stdout);
    // certmonger 0.79 wants content in every reply and so takes the FAILURE, which must have none
    // (row 79), for a CA out of order; what counts is that it gets no certificate and says so.
    let told = ["status: CA_REJECTED", "status: CA_UNREACHABLE"].iter().any(|s| said.contains(s));
    assert!(told, "{said}");
    assert!(!at.join("certificate.pem").exists());
    assert!(instance.logs().contains("wrong-challenge"), "it never asked\n{}", instance.logs());
}
