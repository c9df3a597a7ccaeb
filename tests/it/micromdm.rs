//! micromdm's `scepclient` from Debian's package `scep`: single DES and SHA-1 whatever the server lists
//! (quirks 1 and 2).

use std::path::Path;
use std::process::{Command, Output};

use softhsm_test::instance::{Instance, Options};

use crate::common::{ledger, shared};
use crate::openssl_tools::verified;

fn scepclient(folder: &Path, instance: &Instance) -> Output {
    Command::new("timeout")
        .args(["60", "scepclient", "-server-url", &instance.url, "-challenge", &instance.challenge])
        .args(["-private-key", "client.key", "-certificate", "client.pem", "-cn", "micromdm"])
        .current_dir(folder)
        .output()
        .expect("scepclient starts; `make deps` installs it")
}

#[test]
fn quirk_01_micromdm_is_refused_with_bad_alg_by_default() {
    let instance = shared();
    let folder = tempfile::tempdir().unwrap();
    let output = scepclient(folder.path(), &instance);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!output.status.success() && said.contains("badAlg"), "{said}");
    assert!(!folder.path().join("client.pem").exists(), "{said}");
    let log = instance.logs();
    let line = log.lines().find(|l| l.contains("badAlg") && l.contains("signer:"));
    assert!(line.is_some_and(|l| l.contains("DES") || l.contains("SHA-1")), "{line:?}");
}

#[test]
fn quirk_01_02_micromdm_enrols_where_the_endpoint_allows_old_algorithms() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let legacy = "[endpoint.device]\nalgorithms = { des_and_md5 = true, sha1 = true, des3 = true }";
    instance.configure(|text| text.replace("[endpoint.device]", legacy)).unwrap();
    instance.start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let output = scepclient(folder.path(), &instance);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}\n{}", instance.logs());
    verified(&instance, &folder.path().join("client.pem"), folder.path());
    assert_eq!(ledger(&instance).iter().filter(|e| e.event == "certificate").count(), 1);
}
