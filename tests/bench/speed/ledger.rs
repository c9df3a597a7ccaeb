//! What a ledger of a million certificates costs: starts, memory, look-ups, verification, disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery::ledger::Ledger;
use chancery::ledger::verify::{IssuerKeys, Verifier};
use chancery::pki::SerialNumber;
use chancery::random::SystemRandom;
use chancery::signer::load_certificate;
use chancery::store::{FileStore, JournalView, StoreOptions};
use softhsm_test::instance::Instance;

use crate::devices::Pool;
use crate::enrol::Bench;
use crate::fill::{self, Issuer};
use crate::report::{Part, Target};
use crate::{Effort, cpu, raw};

/// The issuer's name in a laboratory.
const ISSUER: &str = "issuing";

/// How long the verification in the background may take, at any size.
const BACKGROUND_WITHIN: Duration = Duration::from_secs(3600);

/// The part `ledger`.
pub fn measure(effort: Effort) {
    let count = effort.certificates;
    let mut part = Part::new("ledger");
    let instance = raw::lab("p-256");
    let folder = instance.folder().join("state/ledger");
    let authority = instance.folder().join("certificates/issuing.pem");
    let authority = load_certificate(&authority).unwrap().public_key().clone();
    let issuer = Issuer::p256();
    let sample = filled(&mut part, &folder, &issuer, count, &format!("{count} certificates"));
    let octets = size(&folder) as f64;
    part.figure("disk for a certificate", "KiB", &[octets / 1024.0 / count as f64], None, None);
    look_ups(&mut part, &folder, &sample);
    in_service(&mut part, instance, effort, |part| {
        let keys = vec![(ISSUER.to_owned(), authority), (fill::ISSUER.to_owned(), issuer.public())];
        let rate = verified(&folder, keys);
        against_limits(part, &issuer, rate, "P-256", true);
        let options = StoreOptions::new(&folder);
        let store = FileStore::open(options, Arc::new(SystemRandom)).unwrap();
        let start = Instant::now();
        let compared = cpu::on(Some(0), || store.verify_database(&mut |_| true)).unwrap();
        let rate = compared as f64 / start.elapsed().as_secs_f64();
        part.figure("indexes compared, one core", "entries/s", &[rate], None, None);
    });

    let (some, few) = ((count / 5).min(20_000), (count / 5).min(4000));
    for (issuer, what, count, has_target) in [
        (Issuer::rsa(2048), "RSA-2048", some, true),
        (Issuer::rsa(4096), "RSA-4096", few, false),
        (Issuer::p384(), "P-384", few, false),
        (Issuer::ed25519(), "Ed25519", some, false),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("ledger");
        filled(&mut part, &folder, &issuer, count, &format!("{count} certificates of {what}"));
        let rate = verified(&folder, vec![(fill::ISSUER.to_owned(), issuer.public())]);
        against_limits(&mut part, &issuer, rate, what, has_target);
    }
    part.remark(
        "A certificate is two entries, its reservation and itself. Verification reads every entry and checks \
         its hashes and its signature; its limits are 10,000 entries a second, which is the target of RSA-2048 \
         and P-256, and what the signatures alone take. The verification beside the service rests three \
         quarters of its time and leaves out the signatures of the loader's key, which no CA of the \
         configuration has. The other limits are the targets.",
    );
    part.write().unwrap();
}

fn filled(
    part: &mut Part,
    folder: &Path,
    issuer: &Issuer,
    count: u64,
    what: &str,
) -> Vec<SerialNumber> {
    let ledger = fill::open(folder);
    let start = Instant::now();
    let sample = fill::fill(&ledger, issuer, count);
    let rate = count as f64 / start.elapsed().as_secs_f64();
    part.figure(&format!("filling with {what}"), "certificates/s", &[rate], None, None);
    ledger.close().unwrap();
    sample
}

fn look_ups(part: &mut Part, folder: &Path, sample: &[SerialNumber]) {
    let start = Instant::now();
    let ledger = fill::open(folder);
    let opened = start.elapsed().as_secs_f64();
    let most = Some(Target::AtMost(1.0));
    part.figure("opening the ledger alone, after a clean stop", "s", &[opened], None, None);
    let timed = |ledger: &Ledger, serial: &SerialNumber| {
        let start = Instant::now();
        let found = ledger.by_serial(serial).unwrap().is_some();
        (found, start.elapsed().as_secs_f64() * 1000.0)
    };
    let hits: Vec<_> = sample.iter().map(|serial| timed(&ledger, serial)).collect();
    assert!(hits.iter().all(|(found, _)| *found));
    let times: Vec<f64> = hits.iter().map(|(_, ms)| *ms).collect();
    part.figure("look-up of a serial number", "ms", &times, Some(1.0), most);
    let misses: Vec<f64> = (0..1000)
        .map(|_| timed(&ledger, &SerialNumber::random(&SystemRandom).unwrap()).1)
        .collect();
    part.figure("look-up of an unknown serial number", "ms", &misses, Some(1.0), most);
    ledger.close().unwrap();
}

/// Starts the service on a ledger that was filled without it and stops it in order: from then on a signed
/// head covers it, as it does any ledger of a service. How many seconds the start took, in which every entry
/// is held against the rules.
pub fn covered(instance: &mut Instance) -> f64 {
    let start = Instant::now();
    instance.start().unwrap();
    let took = start.elapsed().as_secs_f64();
    instance.stop().unwrap();
    took
}

/// The real service on the ledger, after a clean stop and after a kill; `after` works on the ledger when
/// it has stopped, before the instance is gone.
fn in_service(
    part: &mut Part,
    mut instance: Instance,
    effort: Effort,
    after: impl FnOnce(&mut Part),
) {
    let most = Some(Target::AtMost(1.0));
    let pool = Pool::shared();
    let first = covered(&mut instance);
    part.figure("first start, of entries that no head covers", "s", &[first], None, None);
    let start = Instant::now();
    let mut running = Bench::start(instance, pool, None);
    let clean = start.elapsed().as_secs_f64();
    part.figure("start after a clean stop", "s", &[clean], Some(5.0), most);
    running.measure(16, 300.0, effort.seconds, None);
    let memory = |running: &mut Bench<'_>| {
        let signer = running.used().into_iter().filter(|(role, _)| role == "signer");
        signer.map(|(_, used)| used).next_back().unwrap()
    };
    let start = Instant::now();
    while !verified_itself(&running.instance) {
        assert!(start.elapsed() < BACKGROUND_WITHIN, "the verification beside the service hangs");
        std::thread::sleep(Duration::from_secs(1));
    }
    let beside = start.elapsed().as_secs_f64();
    part.figure("verification beside the service, after the load", "s", &[beside], None, None);
    running.measure(16, 300.0, effort.seconds, None);
    let used = memory(&mut running);
    part.figure("memory of the signer in service", "MiB", &[used.now_mib], Some(300.0), most);
    part.figure("memory of the signer, the most", "MiB", &[used.peak_mib], Some(300.0), most);
    let asked = running.asked();
    let mut instance = running.instance;
    instance.kill().unwrap();
    let start = Instant::now();
    let mut running = Bench::start(instance, pool, None).after(asked);
    let killed = start.elapsed().as_secs_f64();
    part.figure("start after a kill", "s", &[killed], Some(5.0), most);
    running.measure(16, 300.0, 1.0, None);
    running.instance.stop().unwrap();
    after(part);
}

/// Whether the signer's own verification has gone through the whole ledger.
fn verified_itself(instance: &Instance) -> bool {
    let status = instance.ask(&["status", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert!(status["verification"]["finding"].is_null(), "{status}");
    !status["verification"]["succeeded"].is_null()
}

/// Entries that a verification of the journal in `folder` does in a second on one core.
fn verified(folder: &Path, keys: IssuerKeys) -> f64 {
    let view = JournalView::open(folder).unwrap();
    let mut verifier = Verifier::new(keys, Vec::new(), None);
    let start = Instant::now();
    let verified = cpu::on(Some(0), || {
        while !verifier.step(&view, view.size()).unwrap() {}
        verifier.finish().unwrap()
    });
    assert!(verified.certificates > 0 && verified.unknown == 0, "every signature is checked");
    verified.entries as f64 / start.elapsed().as_secs_f64()
}

/// The rate against what is asked for, and against what its signatures alone take.
fn against_limits(part: &mut Part, issuer: &Issuer, rate: f64, what: &str, has_target: bool) {
    let name = format!("verification, {what} issuer, one core");
    if has_target {
        let target = Some(Target::AtLeast(1.0));
        part.figure(&name, "entries/s", &[rate], Some(10_000.0), target);
    }
    let raw = cpu::on(Some(0), || issuer.raw_verifications(2.0));
    let name = format!("{name}, against its signatures");
    part.figure(&name, "entries/s", &[rate], Some(raw * 2.0), None);
}

/// Octets of all files below `folder`.
fn size(folder: &Path) -> u64 {
    let items = std::fs::read_dir(folder).unwrap().map(|item| item.unwrap());
    let sizes = items.map(|item| match item.file_type().unwrap().is_dir() {
        true => size(&item.path()),
        false => item.metadata().unwrap().len(),
    });
    sizes.sum()
}
