//! A power cut at any moment loses no acknowledged certificate (I1), and the ledger opens after it.
//!
//! The state folder is on a real file system, on a disk that forgets what was not flushed
//! (`tests/storage`). Devices enrol until the power goes, after so many writes and flushes of the disk
//! as chance says; some cuts come while the signer starts, also while it recovers from the cut
//! before. ROUNDS sets how many cuts the devices see, 10 by default; POWERCUT_SEED plays a run again as
//! far as threads allow it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use powercut_disk::{Kind, Survivors, Volume, missing};
use softhsm_test::client::{Delivery, Device, Draft, Parts, Server, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::{good, ledger, run, serial};
use crate::load::{self, Acknowledged};

/// So many cuts, then a new ledger: its first start is a moment to cut, too.
const CUTS_OF_A_LEDGER: u64 = 10;

/// What the rounds came to.
#[derive(Debug, Default)]
struct Tally {
    cuts: u64,
    at_start: u64,
    at_stop: u64,
    acknowledged: usize,
    unflushed: usize,
    rebuilt: usize,
}

/// An instance whose state is on a volume.
pub struct Lab {
    pub instance: Instance,
    pub volume: Volume,
}

impl Lab {
    /// Makes the instance and the volume, and starts nothing.
    pub fn new(kind: Kind) -> Self {
        let instance = Instance::create(&Options::default()).unwrap();
        let state = instance.folder().join("state");
        let made = instance.folder().join("state.made");
        fs::rename(&state, &made).unwrap();
        fs::create_dir(&state).unwrap();
        let volume = Volume::create(kind, &state).unwrap();
        fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
        run(Command::new("cp").arg("-a").arg(made.join("secrets")).arg(&state));
        run(Command::new("sync").arg("-f").arg(&state));
        Self { instance, volume }
    }

    fn start_roles(&mut self) {
        self.instance.start_role("signer").unwrap();
        self.instance.start_role("frontend").unwrap();
    }

    /// Starts with the power cut soon. Whether it went before the service was ready.
    fn starts_until_cut(&mut self, operations: u64) -> bool {
        self.volume.disk.cut_after(operations);
        self.start_roles();
        let ready = self.instance.wait_ready();
        let cut = !self.volume.disk.stay_on();
        assert!(cut || ready.is_ok(), "without a cut: {ready:?}");
        cut
    }

    /// Devices enrol until the power goes after so many `operations` of the disk, or for a moment.
    fn load_until_cut(
        &self,
        server: &Server,
        keys: &[keys::Key],
        operations: Option<u64>,
    ) -> Vec<load::Seen> {
        let stop = AtomicBool::new(false);
        operations.into_iter().for_each(|o| self.volume.disk.cut_after(o));
        std::thread::scope(|scope| {
            let workers = load::start(scope, (&self.instance, server), keys, &stop);
            match operations {
                // Where less is written than was thought, it goes all the same.
                Some(_) if self.volume.disk.wait_for_cut(Duration::from_secs(10)) => {}
                Some(_) => self.volume.disk.cut_after(0),
                None => std::thread::sleep(Duration::from_millis(700)),
            }
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().map(|w| w.join().unwrap()).collect()
        })
    }

    /// Tells both roles to stop, with the power cut soon; at the latest when they have ended.
    fn stop_until_cut(&mut self, operations: u64) {
        self.volume.disk.cut_after(operations);
        for role in ["frontend", "signer"] {
            self.instance.terminate(role).unwrap();
            let service = self.instance.service(role).unwrap();
            // Whatever it makes of a disk that is gone: it is killed in a moment.
            drop(service.wait(Duration::from_secs(10)));
        }
        self.volume.disk.cut_after(0);
    }

    /// After a cut: ends what still runs, and gives the power back.
    fn power_on(&mut self, random: &mut fastrand::Rng, tally: &mut Tally) -> Survivors {
        self.instance.kill().unwrap();
        self.volume.unmount().unwrap();
        let survivors = Survivors::any(random);
        tally.unflushed += self.volume.disk.power_on(survivors, random);
        tally.cuts += 1;
        self.volume.mount().unwrap();
        survivors
    }
}

#[test]
#[ignore = "needs root, FUSE and a loop device: make powercut"]
fn no_power_cut_loses_an_acknowledged_certificate() {
    let number = |name| std::env::var_os(name).and_then(|v| v.to_str()?.parse().ok());
    let rounds = number("ROUNDS").unwrap_or(10);
    let seed = number("POWERCUT_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("POWERCUT_SEED={seed}");
    let kinds = kinds();
    let keys = keys::many_rsa(8).unwrap();
    for (index, kind) in (0_u64..).zip(&kinds) {
        let share = (rounds + index) / kinds.len() as u64;
        let mut random = fastrand::Rng::with_seed(seed ^ index);
        let mut tally = Tally::default();
        let begun = Instant::now();
        let mut done = 0;
        while done < share {
            let cuts = CUTS_OF_A_LEDGER.min(share - done);
            one_ledger(*kind, cuts, &keys, &mut random, &mut tally);
            done += cuts;
        }
        assert!(tally.acknowledged > 0 && tally.unflushed > 0, "no cut met a write: {tally:?}");
        let Tally { cuts, at_start, at_stop, acknowledged, unflushed, rebuilt } = tally;
        println!(
            "{}: {cuts} power cuts ({at_start} of them during a start, {at_stop} during a stop), {acknowledged} certificates \
             acknowledged, 0 lost; {unflushed} writes were under way, the database was rebuilt \
             {rebuilt} times; {} s",
            kind.name(),
            begun.elapsed().as_secs()
        );
    }
}

/// The file systems that can be had here; ext4 must be one of them.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for kind in [Kind::Ext4, Kind::Xfs] {
        match missing(kind) {
            None => kinds.push(kind),
            Some(why) => println!("NOT TESTED on {}: {why}", kind.name()),
        }
    }
    assert!(kinds.contains(&Kind::Ext4), "power cuts cannot be played here");
    kinds
}

/// A new ledger that sees so many cuts under load, and as many at a start as chance wants.
fn one_ledger(
    kind: Kind,
    cuts: u64,
    keys: &[keys::Key],
    random: &mut fastrand::Rng,
    tally: &mut Tally,
) {
    let mut lab = Lab::new(kind);
    let mut probe: Option<(Device, Draft, Parts)> = None;
    let mut all: Vec<Parts> = Vec::new();
    let mut last: Vec<Acknowledged> = Vec::new();
    let mut story = "the first start".to_owned();
    for round in 0..=cuts {
        // The power may go again before the service is up: once in four.
        while random.u8(..4) == 0 {
            if !lab.starts_until_cut(random.u64(1..60)) {
                break;
            }
            tally.at_start += 1;
            let survivors = lab.power_on(random, tally);
            story.push_str(&format!(", a cut of a start that left {survivors:?}"));
        }
        let after = |e: String| -> ! {
            panic!("POWER CUT on {}, round {round} ({story}): {e}", kind.name())
        };
        if !lab.instance.has_started("signer") {
            lab.start_roles();
        }
        let server = ready(&mut lab.instance).unwrap_or_else(|e| after(e));
        let (device, draft, first) = probe.get_or_insert_with(|| {
            let (device, draft) = good(&lab.instance, &server, "probe");
            let first = retried(&server, &device, &draft).unwrap_or_else(|e| after(e));
            (device, draft, first)
        });
        same(&server, (device, draft, first)).unwrap_or_else(|e| after(e));
        // The last answer of each device again: the device whose reply was lost asks like this (I5).
        for l in &last {
            same(&server, (&l.device, &l.draft, &l.certificate)).unwrap_or_else(|e| after(e));
        }
        verify(&lab.instance, &all).unwrap_or_else(|e| after(e));
        if round == cuts {
            break;
        }
        let in_order = random.u8(..4) == 0;
        let seen = lab.load_until_cut(&server, keys, (!in_order).then(|| random.u64(1..400)));
        if in_order {
            lab.stop_until_cut(random.u64(1..30));
            tally.at_stop += 1;
        }
        let survivors = lab.power_on(random, tally);
        let moment = if in_order { "of a stop" } else { "under load" };
        story = format!("a cut {moment} that left {survivors:?}");
        let mut acknowledged = seen.into_iter().map(|s| s.acknowledged).collect::<Vec<_>>();
        all.extend(acknowledged.iter().flatten().map(|a| a.certificate.clone()));
        last = acknowledged.iter_mut().filter_map(Vec::pop).collect();
    }
    tally.acknowledged += all.len();
    tally.rebuilt += lab.instance.logs().matches("the index database was rebuilt").count();
    let statuses = lab.instance.stop().unwrap();
    assert!(statuses.iter().all(|s| s.success()), "{statuses:?}");
}

/// The endpoint, when the service is up and signs.
fn ready(instance: &mut Instance) -> Result<Server, String> {
    instance.wait_ready().map_err(|e| e.to_string())?;
    let status = instance.ask(&["status", "--json"]).map_err(|e| e.to_string())?;
    let status: serde_json::Value = serde_json::from_str(&status).map_err(|e| e.to_string())?;
    match status["maintenance"].as_str() {
        None => instance.server().map_err(|e| e.to_string()),
        Some(why) => Err(format!("the signer is in maintenance mode: {why}")),
    }
}

/// Sends a request that was answered before: the answer must be the same.
fn same(server: &Server, (device, draft, first): (&Device, &Draft, &Parts)) -> Result<(), String> {
    let again = retried(server, device, draft)?;
    match again == *first {
        true => Ok(()),
        false => {
            Err(format!("{} was acknowledged, and a retry gets {}", serial(first), serial(&again)))
        }
    }
}

/// Sends the request until the frontend has found the signer.
pub fn retried(server: &Server, device: &Device, draft: &Draft) -> Result<Parts, String> {
    let start = Instant::now();
    loop {
        let sent = draft.build(device).map_err(|e| e.to_string())?;
        let answer =
            server.deliver(&sent.body, &Delivery::Post(None)).map_err(|e| e.to_string())?;
        if answer.status != 503 || start.elapsed() > Duration::from_secs(60) {
            let reply = server.read(&answer, &sent, device).map_err(|e| e.to_string())?;
            return reply.certificate().cloned().map_err(|e| e.to_string());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Verifies the whole ledger, and that each acknowledged certificate is in it.
pub fn verify(instance: &Instance, acknowledged: &[Parts]) -> Result<(), String> {
    let said = instance.ask(&["ledger", "verify"]).map_err(|e| e.to_string())?;
    if !said.starts_with("the ledger is good\n") {
        return Err(said);
    }
    let entries = ledger(instance);
    let recorded = entries.iter().filter(|e| e.event == "certificate").map(|e| e.field("object"));
    let recorded: std::collections::HashSet<&str> = recorded.collect();
    let lost: Vec<String> =
        acknowledged.iter().map(serial).filter(|s| !recorded.contains(s.as_str())).collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("acknowledged and lost: {lost:?}")) }
}
