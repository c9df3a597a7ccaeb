//! kill -9 at any moment loses no acknowledged certificate (I1), leaves no reservation without its end and
//! no signature without its entry (I2), and takes back no checkpoint. What was signed is what the shim
//! before the token wrote down. The roles run by themselves and are killed by their own process IDs: a
//! signer under `serve` would be told to stop when `serve` dies, and would end in order. Some kills come while
//! the signer starts, also while it recovers from the kill before. ROUNDS sets how often; 5 by default, and
//! `make crash` does the same with as many as one likes. The moments are chance's; SEED plays them again as far
//! as threads allow it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use softhsm_test::client::http::{self, Request, Url};
use softhsm_test::client::{Delivery, Device, Draft, Parts, Server, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::{Entry, copy_folder, each_recorded_once, good, granted, ledger};
use crate::load;
use crate::shim::{Shim, ca_key};

/// What the signer logs when it is ready.
const READY: &str = "the signer serves";

/// The starts of the signer.
struct Starts {
    /// Processes that were started.
    all: usize,
    /// Of them, those that were killed before they were ready.
    cut: usize,
    /// How long the first one took; the others are killed within that.
    takes: Duration,
    /// The token as it was before: SoftHSM's login writes the token's file anew, in place, and a kill in
    /// that moment leaves it empty. It is put back, for this is about the ledger.
    token: tempfile::TempDir,
}

#[test]
fn row_097_no_acknowledged_certificate_is_lost() {
    let number = |name| {
        let value = std::env::var_os(name)?;
        Some(value.to_str().and_then(|v| v.parse().ok()).expect(name))
    };
    let rounds: u64 = number("ROUNDS").unwrap_or(5);
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut instance = Instance::create(&Options::default()).unwrap();
    let shim = Shim::before(&instance);
    let often = "[ledger]\ncheckpoint_interval = \"1s\"\n";
    instance.configure(|text| text.replace("[ledger]\n", often)).unwrap();
    let token = tempfile::tempdir().unwrap();
    copy_folder(&instance.folder().join("tokens"), &token.path().join("tokens"));
    let began = Instant::now();
    instance.start_roles().unwrap();
    let starts = Starts { all: 1, cut: 0, takes: began.elapsed(), token };
    let over = AtomicBool::new(false);
    let url = Url::parse(&instance.url).unwrap().with_path("/log/checkpoint");
    let (all, starts, checkpoints) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| served(&url, &over));
        // Ends the watcher also when a round panics, which would else wait for it.
        let _over = Over(&over);
        let (all, starts) = play(&mut instance, rounds, &mut random, starts);
        over.store(true, Ordering::Relaxed);
        (all, starts, watcher.join().unwrap())
    });
    // In order, so that no list is being signed while the ledger is looked at.
    let statuses = instance.stop().unwrap();
    assert!(statuses.iter().all(|s| s.success()), "{statuses:?}");
    each_recorded_once(&instance, &all);
    let entries = ledger(&instance);
    let count = |event: &str| entries.iter().filter(|e| e.event == event).count();
    assert_eq!(count("stop"), 1, "the last run alone ended in order");
    let begun = count("start");
    assert!(
        (starts.all - starts.cut..=starts.all).contains(&begun),
        "{begun} starts in the ledger, of {} with {} that were killed",
        starts.all,
        starts.cut
    );
    each_reservation_has_its_end(&entries);
    let signatures = each_signature_has_its_entry(&instance, &shim, &entries);
    no_checkpoint_is_taken_back(&instance, &checkpoints);
    let cut_off = count("reservation") - all.len();
    assert!(all.len() > 1 && cut_off > 0, "the kill never met a request under way");
    assert!(rounds < 50 || starts.cut > 0, "the kill never met a start");
    eprintln!(
        "{rounds} kills under load, {} while the signer started; {} certificates acknowledged, 0 lost, \
         {cut_off} requests cut off, {} of them abandoned; {signatures} signatures of the CA, none twice and \
         none without its entry; {} checkpoints",
        starts.cut,
        all.len(),
        count("abandoned"),
        checkpoints.len()
    );
}

/// The rounds; what devices were given, and how often the signer was started.
fn play(
    instance: &mut Instance,
    rounds: u64,
    random: &mut fastrand::Rng,
    mut starts: Starts,
) -> (Vec<Parts>, Starts) {
    let server = instance.server().unwrap();
    let keys = keys::many_rsa(8).unwrap();
    let (probe, draft) = good(instance, &server, "probe");
    let asked = Instant::now();
    let first = granted(instance, &server, &probe, &draft);
    // A batch takes longer than a lone request, and longer on a slow machine.
    let batch = (asked.elapsed() * 3).max(Duration::from_millis(350));
    let mut all: Vec<Parts> = vec![first.clone()];
    // Few kills may all come too early or too late: then there are more of them, so that this never passes
    // without one that met a request under way.
    let met = |instance: &Instance, all: &[Parts]| {
        let reservations = ledger(instance).iter().filter(|e| e.event == "reservation").count();
        all.len() > 1 && reservations > all.len()
    };
    for round in 0..rounds + 20 {
        if round >= rounds && met(instance, &all) {
            break;
        }
        let victims = victims(random);
        let stop = AtomicBool::new(false);
        // Spread over a batch, so that every step of the pipeline is hit.
        let moment = batch.mul_f64(0.1 + 0.9 * random.f64());
        let pids: Vec<Pid> =
            victims.iter().map(|role| pid(instance.service(role).unwrap().pid())).collect();
        let seen: Vec<load::Seen> = std::thread::scope(|scope| {
            let workers = load::start(scope, (instance, &server), &keys, &stop);
            std::thread::sleep(moment);
            pids.iter().for_each(|pid| kill_process(*pid, Signal::KILL).unwrap());
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        for role in victims {
            killed(instance, role, round);
            match *role {
                "signer" => start_signer(instance, round, random, &mut starts),
                role => instance.start_role(role).unwrap(),
            }
        }
        instance.wait_ready().unwrap_or_else(|e| panic!("round {round}: {e}"));
        let again = granted_in_time(&server, &probe, &draft);
        assert_eq!(again, first, "round {round}: the probe has another certificate");
        // The last answer of each device again: the device whose reply was lost asks like this (I5).
        for last in seen.iter().filter_map(|s| s.acknowledged.last()) {
            let again = granted(instance, &server, &last.device, &last.draft);
            assert_eq!(again, last.certificate, "round {round}: another certificate");
        }
        all.extend(seen.into_iter().flat_map(|s| s.acknowledged).map(|a| a.certificate));
    }
    (all, starts)
}

/// Starts the signer; once in three times it is killed on the way, and started again.
fn start_signer(
    instance: &mut Instance,
    round: u64,
    random: &mut fastrand::Rng,
    starts: &mut Starts,
) {
    loop {
        instance.start_role("signer").unwrap();
        starts.all += 1;
        if random.u8(..3) > 0 {
            return;
        }
        let ready = |instance: &mut Instance| {
            instance.service("signer").unwrap().log().matches(READY).count()
        };
        let before = ready(instance);
        std::thread::sleep(starts.takes.mul_f64(random.f64()));
        let id = pid(instance.service("signer").unwrap().pid());
        kill_process(id, Signal::KILL).unwrap();
        killed(instance, "signer", round);
        // One that was ready meanwhile was killed in its first moments of service.
        starts.cut += usize::from(ready(instance) == before);
        let tokens = instance.folder().join("tokens");
        fs::remove_dir_all(&tokens).unwrap();
        copy_folder(&starts.token.path().join("tokens"), &tokens);
    }
}

#[track_caller]
fn killed(instance: &mut Instance, role: &str, round: u64) {
    let ended = instance.service(role).unwrap().wait(Duration::from_secs(10)).unwrap();
    assert_eq!(ended.signal(), Some(Signal::KILL.as_raw()), "round {round}: {role}");
}

/// Sets its flag when it goes.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who is killed in a round: mostly the signer, for it writes the ledger.
fn victims(random: &mut fastrand::Rng) -> &'static [&'static str] {
    match random.u8(..5) {
        3 => &["frontend"],
        4 => &["signer", "frontend"],
        _ => &["signer"],
    }
}

fn pid(id: u32) -> Pid {
    i32::try_from(id).ok().and_then(Pid::from_raw).unwrap()
}

/// Sends the request until the frontend has found the signer again.
fn granted_in_time(server: &Server, device: &Device, draft: &Draft) -> Parts {
    let start = Instant::now();
    loop {
        let sent = draft.build(device).unwrap();
        let answer = server.deliver(&sent.body, &Delivery::Post(None)).unwrap();
        if answer.status != 503 {
            return server.read(&answer, &sent, device).unwrap().certificate().unwrap().clone();
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no reconnection: {}", answer.text());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Checks that whatever was written ahead came to its one end or is once recorded as given up.
#[track_caller]
fn each_reservation_has_its_end(entries: &[Entry]) {
    let mut ends: HashMap<&str, usize> = HashMap::new();
    for entry in entries {
        let of = match &*entry.event {
            "certificate" | "abandoned" => entry.field("reservation"),
            "signed-object" => entry.field("intent"),
            _ => continue,
        };
        *ends.entry(of).or_default() += 1;
    }
    for ahead in entries.iter().filter(|e| ["reservation", "signing-intent"].contains(&&*e.event)) {
        let sequence = ahead.sequence.to_string();
        assert_eq!(ends.remove(&*sequence), Some(1), "the ends of {} {sequence}", ahead.event);
    }
    assert!(ends.is_empty(), "ends without a beginning: {ends:?}");
}

/// Every checkpoint that is served until it is over, under its size. There is at most one a second, and one
/// more a start.
fn served(url: &Url, over: &AtomicBool) -> BTreeMap<u64, String> {
    let mut all: BTreeMap<u64, String> = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(25));
        // The frontend is killed, too.
        let Ok(response) = http::send(url, &Request::get("/log/checkpoint")) else { continue };
        if response.status == 200 {
            let text = response.text();
            let size = text.lines().nth(1).unwrap().parse().unwrap();
            let before = all.insert(size, text.clone());
            assert!(
                before.is_none_or(|b| root_of(&b) == root_of(&text)),
                "two trees of size {size}"
            );
        }
    }
    all
}

fn root_of(checkpoint: &str) -> Option<String> {
    checkpoint.lines().nth(2).map(str::to_owned)
}

/// Checks what the CA's key signed in all runs, apart from its own self-test: each digest belongs to one entry
/// and was signed once; at most once where the entry was given up, once where a certificate or a list came of
/// it. How often it signed.
#[track_caller]
fn each_signature_has_its_entry(instance: &Instance, shim: &Shim, entries: &[Entry]) -> usize {
    let config = fs::read_to_string(&instance.config).unwrap();
    let id = ca_key(instance);
    let label = config.split("[ca.issuing]").nth(1).unwrap().split("label = \"").nth(1).unwrap();
    let label = label.split('"').next().unwrap();
    let self_test = format!("Chancery self-test of the CA signing key \"{label}\" (id {id})");
    let self_test = openssl::sha::sha256(self_test.as_bytes());
    let signed: Vec<_> = shim.signed().into_iter().filter(|s| s.key == id).collect();
    let mut times: HashMap<[u8; 32], usize> = HashMap::new();
    for signature in &signed {
        // A DigestInfo ends with the digest (RFC 8017 section 9.2).
        let digest = signature.input.last_chunk().expect("a digest of SHA-256");
        *times.entry(*digest).or_default() += 1;
    }
    let known = times.remove(&self_test);
    assert!(known.is_some(), "no self-test among {} signatures", signed.len());
    let given_up: HashSet<&str> =
        entries.iter().filter(|e| e.event == "abandoned").map(|e| e.field("reservation")).collect();
    for entry in entries {
        let digest = match &*entry.event {
            "reservation" => openssl::sha::sha256(&hex::decode(entry.field("tbs")).unwrap()),
            // CRLs: the intent to sign holds the digest of what is signed.
            "signing-intent" => hex::decode(entry.field("digest")).unwrap().try_into().unwrap(),
            _ => continue,
        };
        // Taken out, so that a second entry over the same octets finds none.
        let found = times.remove(&digest).unwrap_or_default();
        let sequence = entry.sequence.to_string();
        let least = usize::from(!given_up.contains(&*sequence));
        assert!(
            (least..=1).contains(&found),
            "{} {sequence} was signed {found} times, given up: {}",
            entry.event,
            least == 0
        );
    }
    let unnamed: usize = times.values().sum();
    assert_eq!(unnamed, 0, "signatures of the CA without an entry, of {}", signed.len());
    signed.len()
}

/// Checks the ledger against every checkpoint that was ever served.
#[track_caller]
fn no_checkpoint_is_taken_back(instance: &Instance, checkpoints: &BTreeMap<u64, String>) {
    assert!(!checkpoints.is_empty(), "no checkpoint was ever served");
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["ledger".to_owned(), "verify".to_owned()];
    for (size, checkpoint) in checkpoints {
        let file = folder.path().join(size.to_string());
        fs::write(&file, checkpoint).unwrap();
        arguments.extend(["--checkpoint".to_owned(), file.to_str().unwrap().to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    instance.ask(&arguments).unwrap();
}
