//! The process of one test, its token and its keys.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use chancery::hsm::{
    GeneratedKey, Hsm, HsmError, HsmOptions, KeyPurpose, KeyReference, Profile, TokenSelector,
    init_token, softhsm_conf,
};
use chancery::pki::KeyKind;
use chancery::random::SystemRandom;
use chancery::secret::Secret;

pub const LABEL: &str = "chancery test";
pub const SO_PIN: &str = "87654321";
pub const PIN: &str = "1234567";
const MARK: &str = "CHANCERY_TEST_TOKEN_DIR";

/// Runs `body` in a process of its own. `name` is the test's path in this binary.
pub fn alone(name: &str, body: impl FnOnce(&Path)) {
    if let Some(dir) = std::env::var_os(MARK) {
        body(&PathBuf::from(dir));
        return;
    }
    let shm = Path::new("/dev/shm");
    let place = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("chancery-hsm-").tempdir_in(place).unwrap();
    let tokens = dir.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let conf = dir.path().join("softhsm2.conf");
    std::fs::write(&conf, softhsm_conf(&tokens)).unwrap();
    let kryoptic = dir.path().join("kryoptic.conf");
    let database = dir.path().join("kryoptic.sql");
    let slot = "[[slots]]\nslot = 42\ndbtype = \"sqlite\"\ndbargs = ";
    std::fs::write(&kryoptic, format!("{slot}\"{}\"\n", database.display())).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env("SOFTHSM2_CONF", &conf)
        .env("KRYOPTIC_CONF", &kryoptic)
        .env(MARK, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{text}\n{errors}", output.status);
    assert!(text.contains("1 passed"), "no test has the path {name}\n{text}");
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

pub fn profile() -> Profile {
    Profile::load("softhsm2").unwrap()
}

/// Makes the token [`LABEL`].
pub fn token() {
    init_token(&profile(), None, LABEL, &secret(SO_PIN), &secret(PIN)).unwrap();
}

pub fn options() -> HsmOptions {
    HsmOptions {
        profile: profile(),
        module: None,
        token: TokenSelector::Label(LABEL.into()),
        pin: secret(PIN),
        workers: Some(2),
        lab: false,
    }
}

pub fn open() -> Result<Arc<Hsm>, HsmError> {
    Hsm::open(options())
}

/// The token [`LABEL`], made and opened.
pub fn opened() -> Arc<Hsm> {
    token();
    open().unwrap()
}

pub fn generate(hsm: &Hsm, kind: KeyKind, label: &str, purpose: KeyPurpose) -> GeneratedKey {
    hsm.generate_key(kind, label, None, purpose, &SystemRandom).unwrap()
}

pub fn reference(key: &GeneratedKey, purpose: KeyPurpose) -> KeyReference {
    KeyReference {
        label: key.label.clone(),
        id: Some(key.id.clone()),
        purpose,
        public_key: key.public_key.clone(),
        algorithm: None,
    }
}

/// Waits for a future, with a tokio runtime of its own.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}
