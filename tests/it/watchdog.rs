//! What the service manager hears of a signer: that it lives, and how it is.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use softhsm_test::instance::{Instance, Options, chancery};

use crate::away::token;
use crate::common::run;

/// Ends the signer with the test.
struct Signer(Child);

impl Drop for Signer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The service manager's side.
struct Manager(UnixDatagram);

impl Manager {
    /// Reads what comes until a notification holds `text`.
    #[track_caller]
    fn hears(&self, text: &str) {
        let (start, mut seen) = (Instant::now(), Vec::new());
        let mut buffer = [0; 4096];
        while start.elapsed() < Duration::from_secs(30) {
            let Ok(length) = self.0.recv(&mut buffer) else { continue };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if message.contains(text) {
                return;
            }
            seen.push(message);
        }
        panic!("no {text:?} in {seen:?}");
    }
}

#[test]
fn an_hsm_that_is_away_is_a_status_and_the_watchdog_is_fed_on() {
    let instance = Instance::create(&Options::default()).unwrap();
    let path = instance.folder().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let manager = Manager(manager);
    let mut command = Command::new(chancery().unwrap());
    command.args(["signer", "--config"]).arg(&instance.config);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").env_remove("WATCHDOG_PID");
    let log = fs::File::create(instance.folder().join("signer.log")).unwrap();
    let _signer = Signer(command.stderr(log).spawn().unwrap());
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");

    let there = token(instance.folder()).expect("a token");
    let away = instance.folder().join("away");
    fs::rename(&there, &away).unwrap();
    // Somebody has to use it before anybody can know.
    assert_eq!(instance.command(&["hsm", "selftest"]).unwrap().status.code(), Some(7));
    manager.hears("STATUS=serving, with problems; token main is away");
    for _ in 0..5 {
        manager.hears("WATCHDOG=1");
    }
    fs::rename(&away, &there).unwrap();
    manager.hears("STATUS=serving\n");

    instance.ask(&["maintenance", "on", "--reason", "the disk is exchanged"]).unwrap();
    manager.hears("STATUS=maintenance mode, issues nothing: the disk is exchanged");
    manager.hears("WATCHDOG=1");
    let mut broken = Command::new("sed");
    run(broken.args(["-i", "s/^lab = true/lab = 7/"]).arg(&instance.config));
    assert_eq!(instance.command(&["reload"]).unwrap().status.code(), Some(8));
    manager.hears("a new one was refused");
    manager.hears("WATCHDOG=1");
}
