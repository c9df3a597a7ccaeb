//! `chancery init` that is interrupted, and the surroundings of the role that it prepares.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use softhsm_test::instance::{Instance, Options, Service, chancery};

/// Starts an init that takes long, and waits until it has begun to make keys.
fn begun(folder: &Path) -> Child {
    let child = Command::new(chancery().unwrap())
        .args(["init", "--ca-key", "rsa-4096", "--dir"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let base = folder.parent().unwrap();
    until(|| left(base).iter().any(|path| path.join("pin").exists()));
    child
}

fn left(base: &Path) -> Vec<PathBuf> {
    fs::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn signalled(child: Child, signal: Signal) -> Output {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_interrupted_init_leaves_nothing() {
    for signal in [Signal::INT, Signal::TERM] {
        let base = tempfile::tempdir().unwrap();
        let output = signalled(begun(&base.path().join("lab")), signal);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(left(base.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_killed_init_leaves_nothing_under_the_name_and_the_next_one_says_what_to_delete() {
    let base = tempfile::tempdir().unwrap();
    let folder = base.path().join("lab");
    signalled(begun(&folder), Signal::KILL);
    assert!(!folder.exists());
    let unfinished = left(base.path());
    assert_eq!(unfinished.len(), 1, "{unfinished:?}");
    let output = Command::new(chancery().unwrap())
        .args(["init", "--ca-key", "p-256", "--dir"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("rm -r {}", unfinished[0].display())), "{said}");
}

#[test]
fn t37_the_signer_starts_over_without_loaders_and_leaves_no_core() {
    let instance = Instance::create(&Options::default()).unwrap();
    let mut command = Command::new(chancery().unwrap());
    command
        .args(["signer", "--config"])
        .arg(&instance.config)
        .env("LD_LIBRARY_PATH", "/nowhere")
        .env("SOFTHSM2_CONF", "/nowhere/softhsm2.conf");
    let log = instance.folder().with_extension("signer.log");
    let mut signer = Service::start(command, &log).unwrap();
    let socket = instance.folder().join("run/signer.sock");
    until(|| socket.exists());
    let proc = Path::new("/proc").join(signer.pid().to_string());
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    match fs::read(proc.join("environ")) {
        Ok(environment) => {
            let environment = String::from_utf8_lossy(&environment).into_owned();
            let variables: Vec<&str> = environment.split('\0').collect();
            assert!(!variables.iter().any(|v| v.starts_with("LD_")), "{variables:?}");
            let conf =
                format!("SOFTHSM2_CONF={}", instance.folder().join("softhsm2.conf").display());
            assert!(variables.contains(&conf.as_str()), "{variables:?}");
            let pin = fs::read_to_string(instance.folder().join("pin")).unwrap();
            assert!(!environment.contains(pin.trim()), "the PIN is in the environment");
        }
        // Not dumpable: nobody but root may look.
        Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::PermissionDenied),
    }
    assert!(signer.stop().unwrap().success());
}

/// Port 0 is nobody's address, and the binary is rarely on a PATH: what init prints must work as it is.
#[test]
fn what_init_prints_can_be_run_and_promises_no_port_0() {
    let base = tempfile::tempdir().unwrap();
    let output = Command::new(chancery().unwrap())
        .args(["init", "--ca-key", "p-256", "--listen", "127.0.0.1:0", "--dir"])
        .arg(base.path().join("lab"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("http://127.0.0.1:PORT/") && !said.contains(":0/"), "{said}");
    let start = said.lines().find_map(|line| line.trim().strip_prefix("Start it:")).unwrap();
    let mut serve = Command::new("sh")
        .args(["-c", &format!("exec {start}")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serve.stderr.take().unwrap()).lines();
    let serving = lines.find_map(|line| {
        let line = line.unwrap();
        line.contains("the frontend serves").then_some(line)
    });
    kill_process(Pid::from_raw(serve.id().cast_signed()).unwrap(), Signal::TERM).unwrap();
    let rest: Vec<_> = lines.map_while(Result::ok).collect();
    assert!(serve.wait().unwrap().success(), "{rest:?}");
    let serving = serving.unwrap();
    assert!(serving.contains("127.0.0.1:") && !serving.contains("127.0.0.1:0"), "{serving}");
}
