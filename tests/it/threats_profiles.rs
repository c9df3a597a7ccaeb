//! Changes of a profile (docs/threats.md t44): those that would make devices speak for the CA start
//! nothing, and every other one is told of in the ledger.

use softhsm_test::instance::{Instance, Options};

use crate::common::{good, granted, ledger};

/// What `chancery config check` says.
fn checked(instance: &Instance) -> (bool, String) {
    let output = instance.command(&["config", "check"]).unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn t44_no_profile_makes_a_ca_of_a_device_and_each_change_is_in_the_ledger() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let good_config = std::fs::read_to_string(&instance.config).unwrap();
    let usage = "key_usage = [\"digitalSignature\", \"keyEncipherment\"]";
    let extended = "extended_key_usage = [\"clientAuth\"]";
    let names = "san = { allowed = [\"dns\", \"email\", \"ip\", \"uri\"] }";
    let keys = "key_types = [\"rsa-2048\", \"rsa-3072\", \"rsa-4096\"]";
    let years = "validity = \"365d\"";
    let bad = [
        (usage, "key_usage = [\"keyCertSign\"]", "key_usage"),
        (usage, "key_usage = [\"digitalSignature\", \"cRLSign\"]", "key_usage"),
        (usage, "key_usage = []", "key_usage"),
        (extended, "extended_key_usage = [\"anyExtendedKeyUsage\"]", "extended_key_usage"),
        (extended, "extended_key_usage = [\"2.5.29.37.0\"]", "extended_key_usage"),
        (extended, "extended_key_usage = [\"OCSPSigning\"]", "extended_key_usage"),
        (extended, "extended_key_usage = [\"1.3.6.1.5.5.7.3.9\"]", "extended_key_usage"),
        (extended, "extended_key_usage = [\"1.3.6.1.4.1.311.20.2.1\"]", "extended_key_usage"),
        (years, "validity = \"40000d\"", "validity"),
        (years, "validity = \"365d\"\nbasicConstraints = \"CA:TRUE\"", "basicConstraints"),
        (years, "validity = \"365d\"\nbasic_constraints = \"CA:TRUE\"", "basic_constraints"),
        (years, "validity = \"365d\"\nextensions = [\"2.5.29.19\"]", "extensions"),
        (years, "validity = \"365d\"\npath_len = 0", "path_len"),
        (names, "san = { allowed = [\"otherName\"] }", "san.allowed"),
        (names, "san = { allowed = [\"directoryName\"] }", "san.allowed"),
        (names, "san = { allowed = [\"dns\"], domains = [\"*\"] }", "san.domains"),
        (keys, "key_types = [\"rsa-1024\"]", "key_types"),
        (keys, "key_types = []", "key_types"),
    ];
    for (old, new, key) in bad {
        instance.configure(|_| good_config.replace(old, new)).unwrap();
        let (well, text) = checked(&instance);
        assert!(!well && text.contains(key), "{new}: {text}");
        let mut command = std::process::Command::new(softhsm_test::instance::chancery().unwrap());
        let signer = command.arg("signer").arg("--config").arg(&instance.config).output().unwrap();
        assert!(!signer.status.success(), "{new} starts");
        std::fs::write(&instance.config, &good_config).unwrap();
    }
    // The control: a harmless change starts, and the ledger says which configuration it replaces.
    instance.start().unwrap();
    instance.stop().unwrap();
    instance.configure(|text| text.replace(years, "validity = \"180d\"")).unwrap();
    assert!(checked(&instance).0, "{}", checked(&instance).1);
    instance.start().unwrap();
    let entries = ledger(&instance);
    let loaded: Vec<_> = entries.iter().filter(|e| e.event == "config-loaded").collect();
    let [first, second] = loaded.as_slice() else { panic!("{} of them", loaded.len()) };
    assert_ne!(first.field("digest"), second.field("digest"));
    assert_eq!(first.field("digest"), second.field("replaces"));
    assert_eq!(first.field("replaces"), "");
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "after");
    granted(&instance, &server, &device, &draft);
}
