//! The shim of tests/shim in front of an instance's token: a test tells it what is to happen, and reads what
//! was signed.

use std::fs;
use std::path::PathBuf;

use chancery::hsm::Profile;
use softhsm_test::instance::Instance;

/// The shim's control file and records.
pub struct Shim {
    control: PathBuf,
    record: PathBuf,
    played: PathBuf,
}

/// A call of C_Sign.
pub struct Signed {
    /// CKA_ID in hexadecimal.
    pub key: String,
    /// What was handed to the token: a DigestInfo, a digest or the message.
    pub input: Vec<u8>,
}

impl Shim {
    /// Puts the shim before the token of an instance that has not been started.
    pub fn before(instance: &Instance) -> Self {
        // Beside the folder of this test's program; chancery may be another build's (a positive control).
        let tests = std::env::current_exe().unwrap();
        let module = tests.ancestors().nth(2).expect("a target folder").join("libp11shim.so");
        assert!(module.is_file(), "{} is not there; `make build` builds it", module.display());
        let real = Profile::load("softhsm2").unwrap().module_path(None).unwrap();
        let at = |name| instance.folder().join(name);
        let (control, record) = (at("shim-rules"), at("shim-record"));
        let played = at("shim-played");
        fs::write(&control, "").unwrap();
        let environment = format!(
            "environment = {{ P11SHIM_MODULE = {real:?}, P11SHIM_CONTROL = {control:?}, \
             P11SHIM_RECORD = {record:?}, P11SHIM_PLAYED = {played:?}, "
        );
        instance
            .configure(|text| {
                text.replace("environment = { ", &environment).replace(
                    "profile = \"softhsm2\"\n",
                    &format!("profile = \"softhsm2\"\nmodule = {module:?}\n"),
                )
            })
            .unwrap();
        Self { control, record, played }
    }

    /// From now on, what the lines say (`tests/shim/src/rules.rs`); nothing of what was said before.
    pub fn rules(&self, lines: &str) {
        // In one step, so that no half of it is read.
        let new = self.control.with_extension("new");
        fs::write(&new, format!("{lines}\n")).unwrap();
        fs::rename(new, &self.control).unwrap();
    }

    /// How often the rule of this line has come true since the shim is there.
    pub fn played(&self, line: &str) -> usize {
        let text = fs::read_to_string(&self.played).unwrap_or_default();
        text.lines().filter(|l| *l == line).count()
    }

    /// Every signature that was asked for since the record was begun, in order.
    pub fn signed(&self) -> Vec<Signed> {
        let text = fs::read_to_string(&self.record).unwrap_or_default();
        let line = |line: &str| {
            let (key, input) = line.split_once(' ').expect("a key and an input");
            Signed { key: key.into(), input: hex::decode(input).expect("an input") }
        };
        text.lines().map(line).collect()
    }
}

/// CKA_ID of the issuing CA's key, as the configuration has it.
pub fn ca_key(instance: &Instance) -> String {
    let config = fs::read_to_string(&instance.config).unwrap();
    let (_, section) = config.split_once("[ca.issuing]").expect("a CA");
    let (_, id) = section.split_once("id = \"").expect("its key's ID");
    id.split('"').next().unwrap_or_default().to_owned()
}
