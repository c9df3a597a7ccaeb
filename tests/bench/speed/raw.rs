//! The limits: what the module does by itself, what the processor does without it, what the disk needs to
//! make an append durable.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use softhsm_test::instance::{Instance, Options};

use crate::report::Part;
use crate::{Effort, cpu};

/// The argument that makes this program the worker: SoftHSM reads its configuration from the environment.
pub const WORKER: &str = "raw-worker";
const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The kinds of CA keys that are measured.
pub const KINDS: [&str; 2] = ["rsa-2048", "p-256"];

/// A new laboratory with a CA of this kind.
pub fn lab(kind: &str) -> Instance {
    let arguments = vec!["--ca-key".to_owned(), kind.to_owned()];
    Instance::create(&Options { arguments, ..Options::default() }).expect("make deps, then again")
}

/// What the worker found.
#[derive(Clone, Copy, Debug)]
pub struct Raw {
    /// Sets of one decryption, one CA signature and one RA signature in a second.
    pub rate: f64,
    /// Processor seconds of one set.
    pub cpu: f64,
}

/// Measures the module on the instance's token.
pub fn sets(instance: &Instance, threads: usize, seconds: f64) -> Raw {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(WORKER)
        .arg(instance.folder())
        .args([threads.to_string(), seconds.to_string()])
        .env("SOFTHSM2_CONF", instance.folder().join("softhsm2.conf"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    Raw { rate: numbers[0], cpu: numbers[1] }
}

struct Keys {
    session: Session,
    decryption: ObjectHandle,
    ca: ObjectHandle,
    ra: ObjectHandle,
}

/// The worker: `FOLDER THREADS SECONDS`; prints sets a second and processor seconds a set.
pub fn work(arguments: &[String]) {
    let (folder, threads) = (Path::new(&arguments[0]), arguments[1].parse::<usize>().unwrap());
    let limit = Duration::from_secs_f64(arguments[2].parse().unwrap());
    let module = Pkcs11::new(MODULE).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = module.get_slots_with_initialized_token().unwrap()[0];
    let pin = std::fs::read_to_string(folder.join("pin")).unwrap();
    let login = module.open_ro_session(slot).unwrap();
    login.login(UserType::User, Some(&AuthPin::new(pin.trim().into()))).unwrap();
    let is_rsa = {
        let pem = std::fs::read(folder.join("certificates/issuing.pem")).unwrap();
        let certificate = openssl::x509::X509::from_pem(&pem).unwrap();
        certificate.public_key().unwrap().rsa().is_ok()
    };
    let ciphertext = {
        let pem = std::fs::read(folder.join("certificates/ra-decryption.pem")).unwrap();
        let key = openssl::x509::X509::from_pem(&pem).unwrap().public_key().unwrap().rsa().unwrap();
        let mut out = vec![0; key.size() as usize];
        key.public_encrypt(&[7; 32], &mut out, openssl::rsa::Padding::PKCS1).unwrap();
        out
    };
    // DigestInfo of SHA-256 (RFC 8017 section 9.2, note 1).
    let head = [48, 49, 48, 13, 6, 9, 96, 134, 72, 1, 101, 3, 4, 2, 1, 5, 0, 4, 32];
    let info = [&head[..], &[9; 32]].concat();
    let find = |session: &Session, label: &str| {
        let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(label.into())];
        session.find_objects(&template).unwrap()[0]
    };
    let all: Vec<Keys> = (0..threads)
        .map(|_| {
            let session = module.open_ro_session(slot).unwrap();
            let (decryption, ca, ra) = (
                find(&session, "ra-decryption"),
                find(&session, "issuing-ca"),
                find(&session, "ra-signing"),
            );
            Keys { session, decryption, ca, ra }
        })
        .collect();
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = cpu::family(std::process::id())[0].1.seconds;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for keys in all {
            let (stop, count, info, ciphertext) = (&stop, &count, &info, &ciphertext);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    keys.session.decrypt(&Mechanism::RsaX509, keys.decryption, ciphertext).unwrap();
                    let signed = match is_rsa {
                        true => keys.session.sign(&Mechanism::RsaPkcs, keys.ca, info),
                        false => keys.session.sign(&Mechanism::Ecdsa, keys.ca, &[9; 32]),
                    };
                    signed.unwrap();
                    keys.session.sign(&Mechanism::RsaPkcs, keys.ra, info).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(limit);
        stop.store(true, Ordering::Relaxed);
    });
    let elapsed = start.elapsed().as_secs_f64();
    let used = cpu::family(std::process::id())[0].1.seconds - before;
    let count = count.load(Ordering::Relaxed) as f64;
    println!("{} {}", count / elapsed, used / count);
}

/// Seconds that an append of 4 KiB needs to be durable, the median of many.
pub fn fsync(folder: &Path) -> f64 {
    let path = folder.join("fsync-probe");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let mut times: Vec<f64> = (0..200)
        .map(|_| {
            let start = Instant::now();
            file.write_all(&[1; 4096]).and_then(|()| file.sync_data()).unwrap();
            start.elapsed().as_secs_f64()
        })
        .collect();
    std::fs::remove_file(path).unwrap();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Private operations a second of OpenSSL by itself: the floor in software.
fn openssl_speed(algorithm: &str, seconds: u64) -> f64 {
    let output = Command::new("openssl")
        .args(["speed", "-mr", "-seconds", &seconds.to_string(), algorithm])
        .output()
        .expect("make deps installs openssl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "+F2:NUMBER:BITS:SIGNATURES_A_SECOND:…" for RSA, "+F4:…" for ECDSA.
    let line =
        text.lines().find(|l| l.starts_with("+F2") || l.starts_with("+F4")).expect("a figure");
    line.split(':').nth(3).unwrap().parse::<f64>().unwrap()
}

/// The part `raw`.
pub fn measure(effort: Effort) {
    let mut part = Part::new("raw");
    let seconds = effort.seconds / 2.0;
    for algorithm in ["rsa2048", "ecdsap256"] {
        let rate = cpu::on(Some(0), || openssl_speed(algorithm, effort.seconds.ceil() as u64 / 2));
        part.figure(&format!("openssl {algorithm}, one core"), "signatures/s", &[rate], None, None);
    }
    for kind in KINDS {
        let instance = lab(kind);
        let threads: &[usize] = if effort.smoke { &[1, 4] } else { &[1, 2, 4, 8, 16, 32, 64] };
        for threads in threads {
            let run = || sets(&instance, *threads, seconds).rate;
            let rates: Vec<f64> = (0..effort.repetitions).map(|_| run()).collect();
            part.figure(
                &format!("SoftHSM, {kind} CA, {threads} threads"),
                "sets/s",
                &rates,
                None,
                None,
            );
        }
        let one = cpu::on(Some(0), || sets(&instance, 2, seconds));
        part.figure(&format!("SoftHSM, {kind} CA, one core"), "sets/s", &[one.rate], None, None);
        if kind == KINDS[0] {
            let fsync = fsync(instance.folder());
            part.figure("a durable append of 4 KiB", "ms", &[fsync * 1e3], None, None);
        }
    }
    part.remark("A set is one RSA-2048 decryption, one CA signature and one RSA-2048 signature: what an enrolment asks of the HSM.");
    part.write().unwrap();
}
