//! Where the key of the seal over requests and challenges comes from: the HSM, or a credential, and
//! never a file where challenges are kept sealed.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use softhsm_test::instance::{Instance, Options, Service, chancery};

use crate::common::granted;
use crate::ec::{SEALED, asking, issue, with};
use crate::one_time::holds_not;

/// The line of `chancery init`.
const FROM_TOKEN: &str = "seal_key = { token = \"main\", label = \"seal\" }";

#[test]
fn row_046_t17_the_seals_key_is_in_the_hsm_and_on_no_disk() {
    let (mut instance, server) = with(SEALED);
    let secrets = instance.folder().join("state/secrets");
    let kept: Vec<_> = fs::read_dir(&secrets).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!kept.iter().any(|name| name == "request-seal.key"), "{kept:?}");
    // Under another key nothing opens: what the disk has is not enough.
    let known = issue(&instance);
    instance
        .configure(|text| text.replace(FROM_TOKEN, &FROM_TOKEN.replace("seal\"", "2\"")))
        .unwrap();
    instance.stop().unwrap();
    instance.start().unwrap();
    let (device, draft) = asking(&server, "sealed", &known);
    let refused = server.send(&device, &draft).unwrap().certificate().unwrap_err().to_string();
    assert!(refused.contains("FAILURE"), "{refused}");
    assert!(instance.logs().contains("is not the one that sealed it"), "{}", instance.logs());
    // Under the first one it does.
    instance.configure(|text| text.replace("label = \"2\"", "label = \"seal\"")).unwrap();
    instance.stop().unwrap();
    instance.start().unwrap();
    granted(&instance, &server, &device, &draft);
}

#[test]
fn row_046_t17_the_seals_key_comes_as_a_credential() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let endpoint = format!("[endpoint.device]\n{SEALED}");
    instance
        .configure(|text| {
            text.replace("[endpoint.device]", &endpoint)
                .replace("key_types = [", "key_types = [\"p-256\", ")
                .replace(FROM_TOKEN, "seal_credential = \"chancery-seal\"")
        })
        .unwrap();
    // As systemd hands it over: a folder of the service's own, named in the environment.
    let credentials = tempfile::tempdir().unwrap();
    let digits = "5a".repeat(32);
    fs::write(credentials.path().join("chancery-seal"), format!("{digits}\n")).unwrap();
    let mut command = Command::new(chancery().unwrap());
    command.args(["signer", "--config"]).arg(&instance.config).current_dir(instance.folder());
    command.env("CREDENTIALS_DIRECTORY", credentials.path());
    let log = instance.folder().join("signer.log");
    let mut signer = Service::start(command, &log).unwrap();
    instance.start_role("frontend").unwrap();
    instance.wait_ready().unwrap();
    let began = Instant::now();
    while !instance.command(&["status"]).unwrap().status.success() {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", signer.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let server = instance.server().unwrap();
    let known = issue(&instance);
    let (device, draft) = asking(&server, "credential", &known);
    granted(&instance, &server, &device, &draft);
    for secret in [digits.as_bytes(), &[0x5a; 32], known.0.as_bytes()] {
        holds_not(instance.folder(), secret);
    }
    signer.stop().unwrap();
}

#[test]
fn row_046_t17_challenges_are_not_sealed_under_a_file() {
    let instance = Instance::create(&Options::default()).unwrap();
    let endpoint = format!("[endpoint.device]\n{SEALED}");
    instance
        .configure(|text| {
            text.replace("[endpoint.device]", &endpoint).replace(&format!("{FROM_TOKEN}\n"), "")
        })
        .unwrap();
    let checked = instance.command(&["config", "check"]).unwrap();
    assert!(!checked.status.success());
    let text = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(text.contains("challenge_storage") && text.contains("seal_credential"), "{text}");
}
