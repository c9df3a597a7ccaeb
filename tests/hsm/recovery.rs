//! What an HSM does while it is in use: sessions logged out, the module finalised under us, the
//! token gone, back or exchanged, the PIN changed, a call that hangs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chancery::hsm::{Hsm, HsmOptions, HsmState, KeyPurpose, Profile};
use chancery::pki::KeyKind;
use chancery::signing::{KeyUseError, Signer};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};

use crate::support::{
    LABEL, PIN, SO_PIN, alone, generate, open, options, profile, reference, token, wait,
};

struct Bench {
    hsm: Arc<Hsm>,
    signer: Arc<dyn Signer>,
}

fn bench(hsm: Arc<Hsm>) -> Bench {
    let key = generate(&hsm, KeyKind::P256, "ra", KeyPurpose::RaSign);
    let signer = hsm.signer(&reference(&key, KeyPurpose::RaSign)).unwrap();
    Bench { hsm, signer }
}

impl Bench {
    fn new() -> Self {
        token();
        bench(open().unwrap())
    }

    fn sign(&self) -> Result<Vec<u8>, KeyUseError> {
        wait(self.signer.sign(b"a message".to_vec()))
    }

    /// Signs until it works; how long that took.
    fn until_it_signs(&self) -> Duration {
        let began = Instant::now();
        while let Err(e) = self.sign() {
            assert!(began.elapsed() < Duration::from_secs(10), "not back: {e}");
            std::thread::sleep(Duration::from_millis(20));
        }
        began.elapsed()
    }
}

fn module() -> Pkcs11 {
    Pkcs11::new(profile().module_path(None).unwrap()).unwrap()
}

/// The folder of the one token in `dir`.
fn folder(dir: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(dir.join("tokens")).unwrap();
    folders.next().unwrap().unwrap().path()
}

#[test]
fn a_logout_is_healed_unseen() {
    alone("recovery::a_logout_is_healed_unseen", |_| {
        let bench = Bench::new();
        let module = module();
        let slots = module.get_slots_with_initialized_token().unwrap();
        for round in 0..5 {
            module.open_ro_session(slots[0]).unwrap().logout().unwrap();
            for _ in 0..4 {
                bench.sign().unwrap_or_else(|e| panic!("round {round}: {e}"));
            }
        }
        assert_eq!(bench.hsm.status().state, HsmState::Up);
        assert_eq!(bench.hsm.status().errors, 0);
    });
}

#[test]
fn a_finalised_module_is_healed_unseen() {
    alone("recovery::a_finalised_module_is_healed_unseen", |_| {
        let bench = Bench::new();
        for _ in 0..3 {
            module().finalize().unwrap();
            bench.sign().unwrap();
            bench.sign().unwrap();
        }
        assert_eq!(bench.hsm.status().errors, 0);
    });
}

#[test]
fn a_token_that_was_away_is_used_again() {
    alone("recovery::a_token_that_was_away_is_used_again", |dir| {
        let bench = Bench::new();
        let (token, away) = (folder(dir), dir.join("away"));
        std::fs::rename(&token, &away).unwrap();
        let error = bench.sign().unwrap_err();
        assert!(matches!(error, KeyUseError::Unavailable(_)), "{error}");
        assert!(matches!(bench.hsm.status().state, HsmState::Down { .. }));
        // Later callers do not wait for it.
        let began = Instant::now();
        bench.sign().unwrap_err();
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
        std::fs::rename(&away, &token).unwrap();
        bench.until_it_signs();
        assert_eq!(bench.hsm.status().state, HsmState::Up);
    });
}

#[test]
fn another_token_with_the_same_label_is_not_used() {
    alone("recovery::another_token_with_the_same_label_is_not_used", |dir| {
        let bench = Bench::new();
        std::fs::rename(folder(dir), dir.join("away")).unwrap();
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", LABEL, "--so-pin", SO_PIN, "--pin", PIN])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        bench.sign().unwrap_err();
        std::thread::sleep(Duration::from_secs(2));
        bench.sign().unwrap_err();
        assert!(matches!(bench.hsm.status().state, HsmState::Down { .. }));
        std::fs::remove_dir_all(folder(dir)).unwrap();
        std::fs::rename(dir.join("away"), dir.join("tokens/back")).unwrap();
        bench.until_it_signs();
    });
}

#[test]
fn a_call_that_hangs_is_left_behind() {
    alone("recovery::a_call_that_hangs_is_left_behind", |dir| {
        if let Some(path) = std::env::var_os(HOLD) {
            hold_locks(Path::new(&path));
            return;
        }
        token();
        let toml = include_str!("../../pkcs11-profiles/softhsm2.toml")
            .replace("call_timeout_seconds = 10", "call_timeout_seconds = 1");
        let path = dir.join("quick.toml");
        std::fs::write(&path, toml).unwrap();
        let profile = Profile::load(path.to_str().unwrap()).unwrap();
        let bench = bench(Hsm::open(HsmOptions { profile, ..options() }).unwrap());
        let mut holder = holder(&folder(dir));
        let began = Instant::now();
        let error = bench.sign().unwrap_err();
        assert!(matches!(error, KeyUseError::Unavailable(_)), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let began = Instant::now();
        while bench.hsm.status().hung == 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "the hung call is not noticed");
            std::thread::sleep(Duration::from_millis(20));
        }
        holder.kill().unwrap();
        holder.wait().unwrap();
        bench.until_it_signs();
        let began = Instant::now();
        while bench.hsm.status().hung > 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "its return is not noticed");
            std::thread::sleep(Duration::from_millis(20));
        }
        bench.hsm.shutdown();
    });
}

const HOLD: &str = "CHANCERY_TEST_HOLD_LOCKS";

/// Another process that holds the locks of all files of a SoftHSM token, so that calls hang.
fn holder(token: &Path) -> Child {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["recovery::a_call_that_hangs_is_left_behind", "--exact", "--nocapture"])
        .env(HOLD, token)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !token.join("held").exists() {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    std::fs::remove_file(token.join("held")).unwrap();
    child
}

fn hold_locks(token: &Path) {
    let files: Vec<_> = std::fs::read_dir(token)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
            rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::LockExclusive).unwrap();
            file
        })
        .collect();
    std::fs::write(token.join("held"), b"").unwrap();
    std::thread::sleep(Duration::from_secs(60));
    drop(files);
}

/// OpenSC's module that logs every call and passes it on, wherever the distribution puts it.
fn spy_module() -> PathBuf {
    let multiarch = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = [multiarch.as_str(), "/usr/lib/arm-linux-gnueabihf", "/usr/lib64", "/usr/lib"];
    let places = folders.iter().flat_map(|f| ["", "pkcs11"].map(|sub| Path::new(f).join(sub)));
    let found = places.map(|folder| folder.join("pkcs11-spy.so")).find(|p| p.is_file());
    found.unwrap_or_else(|| panic!("no pkcs11-spy.so; `make deps` installs opensc-pkcs11"))
}

#[test]
fn a_pin_is_tried_once() {
    alone("recovery::a_pin_is_tried_once", |dir| {
        let spy_module = spy_module();
        // The spy reads its settings when it is loaded.
        if std::env::var_os("PKCS11SPY").is_none() {
            let real = profile().module_path(None).unwrap();
            let again = Command::new(std::env::current_exe().unwrap())
                .args(["recovery::a_pin_is_tried_once", "--exact", "--nocapture"])
                .env("PKCS11SPY", real)
                .env("PKCS11SPY_OUTPUT", dir.join("spy.log"))
                .status()
                .unwrap();
            assert!(again.success());
            return;
        }
        token();
        let options = || HsmOptions { module: Some(spy_module.clone()), ..options() };
        let logins = || {
            let log = std::fs::read(dir.join("spy.log")).unwrap();
            String::from_utf8_lossy(&log).matches("C_Login\n").count()
        };
        let wrong = HsmOptions { pin: crate::support::secret("7654321"), ..options() };
        assert!(Hsm::open(wrong).is_err());
        assert_eq!(logins(), 1, "a wrong PIN at the start");

        // Eight callers find every session gone and the PIN changed.
        let bench = bench(Hsm::open(options()).unwrap());
        assert_eq!(logins(), 2);
        let changed = Command::new("pkcs11-tool")
            .args(["--module", &profile().module_path(None).unwrap().display().to_string()])
            .args(["--token-label", LABEL, "--login", "--pin", PIN, "--change-pin"])
            .args(["--new-pin", "7777777"])
            .output()
            .unwrap();
        assert!(changed.status.success(), "{changed:?}");
        // SoftHSM learns of the new PIN when it is initialised again.
        let spy = Pkcs11::new(&spy_module).unwrap();
        spy.clone().finalize().unwrap();
        spy.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert!(bench.sign().is_err()));
            }
        });
        std::thread::sleep(Duration::from_secs(2));
        let error = bench.sign().unwrap_err();
        assert!(error.to_string().contains("CKR_PIN_INCORRECT"), "{error}");
        assert!(matches!(bench.hsm.status().state, HsmState::PinRefused { .. }));
        assert_eq!(logins(), 3, "a wrong PIN while running");
    });
}
