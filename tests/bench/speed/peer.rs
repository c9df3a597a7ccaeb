//! A peer in the same run: the server of Debian's package `scep` (micromdm, software keys in files), with the
//! same load on the same cores.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use softhsm_test::client::{Server, der};
use softhsm_test::instance::Port;

use crate::devices::Pool;
use crate::enrol::Bench;
use crate::report::Part;
use crate::{Effort, cpu, load, raw};

const CHALLENGE: &str = "the peer's challenge";

/// The peer's process; it ends with this.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the measurement is over.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn start(folder: &Path) -> (Peer, Server) {
    let made = Command::new("scepserver")
        .args(["ca", "-init", "-keySize", "2048", "-depot"])
        .arg(folder.join("depot"))
        .stdout(Stdio::null())
        .status()
        .expect("scepserver of Debian's package scep: scripts/deps bench installs it");
    assert!(made.success());
    let port = Port::take().unwrap();
    let child = Command::new("scepserver")
        .args([
            "-challenge",
            CHALLENGE,
            "-allowrenew",
            "0",
            "-port",
            &port.number().to_string(),
            "-depot",
        ])
        .arg(folder.join("depot"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let peer = Peer(child);
    let began = Instant::now();
    loop {
        match Server::discover(&format!("http://127.0.0.1:{}/scep", port.number())) {
            Ok(server) => return (peer, server),
            Err(e) => assert!(began.elapsed() < Duration::from_secs(20), "{e}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether every answer says pkiStatus 0; the peer's replies are not ours to judge beyond that.
fn granted(outcome: &load::Outcome) {
    let success = der::attribute("2.16.840.1.113733.1.9.3", &[der::printable("0")]);
    for (_, _, response) in &outcome.answers {
        let found = response.body.windows(success.len()).any(|w| w == success);
        assert!(response.status == 200 && found, "HTTP {}: {}", response.status, response.text());
    }
}

/// The part `peer`.
pub fn measure(effort: Effort) {
    let mut part = Part::new("peer");
    let pool = Pool::shared();
    let folder = tempfile::tempdir().unwrap();
    let (_peer, server) = cpu::on(Some(0), || start(folder.path()));
    let limit = Duration::from_secs_f64(effort.seconds);
    let mut theirs = Vec::new();
    let mut from = 0;
    let mut expected = 400.0;
    for _ in 0..effort.repetitions {
        let count = (expected * effort.seconds) as usize;
        let ready = pool.requests(&server, CHALLENGE, from, count);
        from += count;
        let outcome = cpu::on(Some(1), || load::run(&server, &ready, 32, limit));
        granted(&outcome);
        theirs.push(outcome.rate());
        expected = outcome.rate() * 1.5;
    }
    part.figure("micromdm scep, RSA-2048 CA, 32 connections", "enrolments/s", &theirs, None, None);
    theirs.sort_by(f64::total_cmp);
    let peer = theirs[theirs.len() / 2];
    let mut bench = Bench::start(raw::lab("rsa-2048"), pool, Some(0));
    bench.measure(8, 300.0, 1.0, Some(1));
    let ours: Vec<f64> = (0..effort.repetitions)
        .map(|_| bench.measure(32, 400.0, effort.seconds, Some(1)).rate())
        .collect();
    part.figure("Chancery, RSA-2048 CA, 32 connections", "enrolments/s", &ours, Some(peer), None);
    part.remark("Both on one core, the client on another. The peer has its keys in files and syncs nothing to the disk; Chancery has them in SoftHSM and answers after its ledger is durable.");
    part.write().unwrap();
}
