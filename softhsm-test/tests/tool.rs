//! The `softhsm-test` command as another team's CI uses it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

fn tool() -> Command {
    Command::new(env!("CARGO_BIN_EXE_softhsm-test"))
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_token_that_others_can_use() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("token");
    let printed = text(&tool().args(["new", "--dir"]).arg(&folder).output().unwrap());
    let value = |name: &str| {
        let line = printed.lines().find_map(|l| l.strip_prefix(&format!("{name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {printed}")).to_owned()
    };
    let pin = std::fs::read_to_string(value("PKCS11_PIN_FILE")).unwrap();
    assert!(Path::new(&value("PKCS11_MODULE")).is_file());
    // SoftHSM's own tool, in place of any PKCS#11 application, sees the token and its PIN works.
    let key = scratch.path().join("key.pem");
    let made =
        Command::new("openssl").args(["genpkey", "-algorithm", "RSA", "-out"]).arg(&key).output();
    text(&made.unwrap());
    let imported = Command::new("softhsm2-util")
        .args(["--import", &key.display().to_string(), "--label", "x", "--id", "0a"])
        .args(["--token", &value("PKCS11_TOKEN_LABEL"), "--pin", pin.trim()])
        .env("SOFTHSM2_CONF", value("SOFTHSM2_CONF"))
        .output()
        .unwrap();
    text(&imported);

    let again = tool().args(["new", "--dir"]).arg(&folder).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "a token is never made over another");
}

#[test]
fn a_ca_in_a_token() {
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name);
    let missing = tool().args(["ca", "--dir"]).arg(scratch.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("softhsm-test new"), "the next step");
    text(&tool().args(["new", "--dir"]).arg(scratch.path()).output().unwrap());
    let made = tool().args(["ca", "--key", "p-256", "--dir"]).arg(scratch.path()).output();
    assert_eq!(text(&made.unwrap()).lines().count(), 4);
    for certificate in ["ra-decryption.pem", "ra-signing.pem"] {
        let verified = Command::new("openssl")
            .args(["verify", "-x509_strict", "-CAfile"])
            .args([at("root.pem"), "-untrusted".into(), at("issuing.pem"), at(certificate)])
            .output();
        text(&verified.unwrap());
    }
    let again = tool().args(["ca", "--dir"]).arg(scratch.path()).output().unwrap();
    assert_eq!(again.status.code(), Some(1), "keys are never made over others");
}

#[test]
fn an_instance_for_one_command() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("device");
    let script = "test -n \"$CHANCERY_CHALLENGE\" && \"$TOOL\" enrol --cn tool --out \"$OUT\" && \
                  openssl verify -x509_strict -CAfile \"$CHANCERY_ROOT\" \
                  -untrusted \"$CHANCERY_CHAIN\" \"$OUT/device.pem\" && dirname \"$CHANCERY_CONFIG\"";
    let output = tool()
        .args(["run", "--", "sh", "-c", script])
        .env("TOOL", env!("CARGO_BIN_EXE_softhsm-test"))
        .env("OUT", &out)
        .output()
        .unwrap();
    let printed = text(&output);
    let folder = printed.lines().last().unwrap();
    assert!(!Path::new(folder).exists(), "{folder} is left behind");
    let status = tool().args(["run", "--", "sh", "-c", "exit 7"]).output().unwrap().status;
    assert_eq!(status.code(), Some(7));
}

#[test]
fn a_signal_removes_the_instance_too() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let scratch = tempfile::tempdir().unwrap();
        let said = scratch.path().join("config");
        let script = "printf '%s' \"$CHANCERY_CONFIG\" >\"$SAID.new\"; mv \"$SAID.new\" \"$SAID\"; \
                      exec sleep 300";
        let mut child = tool()
            .args(["run", "--", "sh", "-c", script])
            .env("SAID", &said)
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !said.exists() {
            assert!(began.elapsed() < Duration::from_secs(120), "the command never ran");
            std::thread::sleep(Duration::from_millis(20));
        }
        let config = std::fs::read_to_string(&said).unwrap();
        // The whole group, as Ctrl-C at a terminal does.
        let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process_group(id, signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{signal:?}");
        let folder = Path::new(&config).parent().unwrap();
        assert!(!folder.exists(), "{signal:?}: {} is left behind", folder.display());
        let running = Command::new("pgrep").args(["-f", &config]).output().unwrap().stdout;
        assert!(running.is_empty(), "{signal:?}: {}", String::from_utf8_lossy(&running));
    }
}

#[test]
fn a_shell_reads_the_environment_of_a_folder_with_a_space() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("a b's token");
    let environment = tool().args(["new", "--dir"]).arg(&folder).output().unwrap();
    let file = scratch.path().join("token.env");
    std::fs::write(&file, text(&environment)).unwrap();
    let script = format!(
        "set -eu; . {}; test -r \"$SOFTHSM2_CONF\"; test -r \"$PKCS11_PIN_FILE\"; test -r \"$PKCS11_MODULE\"",
        file.display()
    );
    text(&Command::new("sh").args(["-c", &script]).env_remove("SOFTHSM2_CONF").output().unwrap());
}
