//! A whole configuration, and a row for every class of error: the text that stands in for a part of
//! it, then the line, the key and words of the remedy that the error must have.

use std::path::Path;
use std::time::Duration;

use super::*;

/// The smallest configuration that is accepted. The rows below count its lines from 1.
const MINIMAL: &str = r#"version = 1
[signer]
queue = 512
[frontend]
listen = ["127.0.0.1:8080"]
[token.main]
profile = "softhsm2"
label = "chancery"
pin_file = "pin"
[ca.issuing]
certificate = "ca.pem"
chain = ["root.pem"]
key = { token = "main", label = "ca" }
ra_decryption = { certificate = "ra-d.pem", key = { token = "main", label = "ra-d" } }
ra_signing = { certificate = "ra-s.pem", key = { token = "main", id = "a1" } }
[profile.device]
validity = "90d"
[endpoint.device]
path = "/scep/device"
ca = "issuing"
profile = "device"
"#;

const FILE: &str = "/etc/chancery/chancery.toml";

fn parsed(source: &str) -> Result<Config, Vec<ConfigError>> {
    parse(Path::new(FILE), source)
}

#[test]
fn what_is_shown_is_the_same_configuration_and_tells_no_mac() {
    let mac = format!("challenge_mac = \"hmac-sha256:{}\"\n", "5a".repeat(32));
    let written = format!(
        "{MINIMAL}{mac}[token.other]\nprofile = \"./x.toml\"\nlabel = \"\\u007f\\\"\"\n\
         pin_prompt = true\nmodule = \"/x.so\"\nenvironment = {{ A_B = \"c\" }}\n"
    );
    let shown = show::show_text(Path::new(FILE), &written).unwrap();
    let text = shown.toml(true);
    assert!(!text.contains("5a5a"), "{text}");
    assert!(!shown.json(true).to_string().contains("5a5a"));
    let line = "endpoint.device.challenge_mac = \"hidden\"";
    assert!(text.contains(line), "{text}");
    let again = text.replace(line, &format!("endpoint.device.{}", mac.trim_end()));
    let again = parse(Path::new("/elsewhere/x.toml"), &again).unwrap();
    assert_eq!(again, parsed(&written).unwrap(), "{text}");

    assert!(text.contains("signer.queue = 512\n"), "{text}");
    assert!(text.contains("profile.device.backdate = \"1h\"  # default\n"), "{text}");
    let few = shown.toml(false);
    assert!(few.contains("profile.device.validity = \"90d\"\n") && !few.contains("default"));
    let (json, few) = (shown.json(true), shown.json(false));
    assert_eq!(json["keys"]["ca.issuing.chain"][0], "/etc/chancery/root.pem");
    assert!(json["defaults"].as_array().unwrap().contains(&"profile.device.backdate".into()));
    assert_eq!(few["defaults"].as_array().unwrap().len(), 0, "{few}");
}

#[test]
fn the_defaults_fill_in() {
    let config = parsed(MINIMAL).unwrap();
    assert!(!config.lab);
    assert_eq!(config.signer.queue, 512);
    assert!(config.frontend.listen.iter().all(|a| a.ip().is_loopback()));
    assert_eq!(config.ca["issuing"].certificate, Path::new("/etc/chancery/ca.pem"));
    assert_eq!(config.ca["issuing"].ra_signing.key.id, Some(KeyId(vec![0xa1])));
    assert_eq!(config.token["main"].profile, VendorProfile::Name("softhsm2".into()));
    assert_eq!(config.profile["device"].validity, Duration::from_secs(90 * 86_400));
    assert_eq!(config.profile["device"].backdate, Duration::from_secs(3600));
    assert!(config.profile["device"].san.allowed.is_empty());
    let endpoint = &config.endpoint["device"];
    assert_eq!(endpoint.ca_cert_response.len(), 5);
    assert!(!endpoint.algorithms.des_and_md5);
    assert!(config.warnings()[0].contains("neither challenge_mac"));
    let one_time = MINIMAL.to_owned() + "one_time_challenges = true\n";
    assert!(parsed(&one_time).unwrap().warnings().is_empty());
    let weak = MINIMAL.to_owned() + "algorithms = { des3 = true, des_and_md5 = true }\n";
    assert_eq!(parsed(&weak).unwrap().warnings().len(), 3, "each old algorithm is warned of");
    let without = MINIMAL
        .replace("[signer]\nqueue = 512\n[frontend]\n", "")
        .replace("listen = [\"127.0.0.1:8080\"]\n", "");
    let config = parsed(&without).unwrap();
    assert_eq!(config.signer.queue, 1024);
    assert!(config.frontend.listen.iter().all(|a| a.ip().is_loopback()), "loopback by default");
}

/// What is replaced, by what, and the one error: line, key, a part of the problem, of the remedy.
type Row = (&'static str, &'static str, usize, &'static str, &'static str, &'static str);

const ROWS: &[Row] = &[
    // The text itself.
    ("queue = 512", "queue = ", 3, "", "not TOML", "correct the line"),
    ("queue = 512", "queue = 5\nqueue = 6", 4, "", "queue is there twice", "remove one"),
    (
        "[frontend]",
        "[metrics]\nlisten = \"127.0.0.1:8080\"\n[frontend]",
        5,
        "metrics.listen",
        "for devices already",
        "another port",
    ),
    ("version = 1", "", 1, "version", "which version", "`version = 1`"),
    ("version = 1", "version = 2", 1, "version", "not known", "`version = 1`"),
    ("version = 1", "version = \"1\"", 1, "version", "not known", "`version = 1`"),
    // Keys.
    (
        "queue = 512",
        "quee = 512",
        3,
        "signer.quee",
        "unknown key",
        "did you mean \"queue\"? valid here: state_dir, socket,",
    ),
    ("[signer]", "[signr]", 2, "signr", "unknown key", "did you mean \"signer\"?"),
    ("[signer]", "[zebra]\n[signer]", 2, "zebra", "unknown key", "valid here: version, lab,"),
    (
        "validity =",
        "subject = { requird = [] }\nvalidity =",
        17,
        "profile.device.subject.requird",
        "unknown key",
        "\"required\"",
    ),
    ("path = \"/scep/device\"\n", "", 18, "endpoint.device.path", "compulsory", "add path = …"),
    (
        "[profile.device]",
        "[profile.\"Dev ice\"]\n[profile.device]",
        16,
        "profile.Dev ice",
        "name",
        "lower-case",
    ),
    // Types and values.
    ("queue = 512", "queue = \"512\"", 3, "signer.queue", "type string", "a whole number"),
    ("queue = 512", "queue = 5.5", 3, "signer.queue", "type float", "a whole number"),
    ("queue = 512", "queue = -1", 3, "signer.queue", "out of range", "0 to"),
    ("queue = 512", "queue = 0", 3, "signer.queue", "out of range", "1 to 1000000"),
    ("[signer]\nqueue = 512", "signer = 3", 2, "signer", "type integer", "a table"),
    ("label = \"chancery\"", "label = \"\"", 8, "token.main.label", "empty", "a text"),
    (
        "validity = \"90d\"",
        "validity = \"1y\"",
        17,
        "profile.device.validity",
        "\"1y\" is not a duration",
        "365d",
    ),
    (
        "validity = \"90d\"",
        "validity = 90",
        17,
        "profile.device.validity",
        "type integer",
        "a duration",
    ),
    (
        "validity = \"90d\"",
        "validity = \"1s\"",
        17,
        "profile.device.validity",
        "out of range",
        "\"1m\"",
    ),
    (
        "validity =",
        "key_types = [\"rsa-2084\"]\nvalidity =",
        17,
        "profile.device.key_types[0]",
        "not known",
        "did you mean \"rsa-2048\"?",
    ),
    (
        "validity =",
        "key_usage = [\"keyCertSign\"]\nvalidity =",
        17,
        "profile.device.key_usage[0]",
        "not known",
        "valid here: digitalSignature",
    ),
    (
        "validity =",
        "extended_key_usage = [\"anyExtendedKeyUsage\"]\nvalidity =",
        17,
        "profile.device.extended_key_usage[0]",
        "speak for the CA",
        "clientAuth",
    ),
    (
        "validity =",
        "extended_key_usage = [\"clientauth\"]\nvalidity =",
        17,
        "profile.device.extended_key_usage[0]",
        "neither",
        "\"clientAuth\"",
    ),
    (
        "validity =",
        "key_types = [\"p-256\", \"p-256\"]\nvalidity =",
        17,
        "profile.device.key_types[1]",
        "twice",
        "remove one",
    ),
    (
        "validity =",
        "crl_urls = [\"https://x/crl\"]\nvalidity =",
        17,
        "profile.device.crl_urls[0]",
        "wait for itself",
        "http://",
    ),
    ("id = \"a1\"", "id = \"0x1\"", 15, "ca.issuing.ra_signing.key.id", "hexadecimal", "pairs"),
    (
        "path = \"/scep/device\"",
        "path = \"scep\"",
        19,
        "endpoint.device.path",
        "\"scep\"",
        "begin with /",
    ),
    (
        "path = \"/scep/device\"",
        "path = \"/a/../b\"",
        19,
        "endpoint.device.path",
        "served",
        "/scep/device",
    ),
    // CRLs: the next one in time, at a path of its own.
    (
        "key = { token = \"main\", label = \"ca\" }",
        "crl = { next_update = \"24h\" }\nkey = { token = \"main\", label = \"ca\" }",
        13,
        "ca.issuing.crl.refresh",
        "run out",
        "shorter than `next_update`",
    ),
    (
        "path = \"/scep/device\"",
        "path = \"/crl/issuing.crl\"",
        19,
        "endpoint.device.path",
        "taken by [ca.issuing]",
        "another path",
    ),
    // Listening: an address in full or nothing.
    (
        "127.0.0.1:8080",
        "localhost:8080",
        5,
        "frontend.listen[0]",
        "not an IP address",
        "127.0.0.1:8080",
    ),
    ("127.0.0.1:8080", ":8080", 5, "frontend.listen[0]", "not an IP address", "0.0.0.0:80"),
    ("\"127.0.0.1:8080\"", "", 5, "frontend.listen", "no address", "127.0.0.1"),
    // References and what belongs together.
    (
        "ca = \"issuing\"",
        "ca = \"isuing\"",
        20,
        "endpoint.device.ca",
        "no [ca.isuing]",
        "did you mean \"issuing\"?",
    ),
    (
        "profile = \"device\"",
        "profile = \"router\"",
        21,
        "endpoint.device.profile",
        "no [profile.router]",
        "[profile.router]",
    ),
    (
        "token = \"main\", label = \"ca\"",
        "token = \"hsm\", label = \"ca\"",
        13,
        "ca.issuing.key.token",
        "no [token.hsm]",
        "[token.hsm]",
    ),
    (
        "token = \"main\", label = \"ra-d\"",
        "token = \"main\", label = \"ca\"",
        14,
        "ca.issuing.ra_decryption.key",
        "key of ca.issuing.key too",
        "one purpose",
    ),
    (
        "token = \"main\", id = \"a1\"",
        "token = \"main\"",
        15,
        "ca.issuing.ra_signing.key",
        "not identified",
        "`label`, `id`",
    ),
    ("label = \"chancery\"\n", "", 6, "token.main", "not identified", "`serial`"),
    (
        "pin_file = \"pin\"",
        "serial = \"7\"\npin_file = \"pin\"",
        8,
        "token.main.label",
        "twice",
        "keep `serial`",
    ),
    ("pin_file = \"pin\"\n", "", 6, "token.main", "PIN comes from", "`pin_credential`"),
    (
        "pin_file = \"pin\"",
        "pin_file = \"pin\"\npin_prompt = true",
        6,
        "token.main",
        "more than one",
        "keep one",
    ),
    (
        "[endpoint.device]",
        "[endpoint.other]\npath = \"/SCEP/device/pkiclient.exe\"\nca = \"issuing\"\nprofile = \"device\"\n[endpoint.device]",
        19,
        "endpoint.other.path",
        "taken by endpoint.device.path",
        "another path",
    ),
    (
        "validity =",
        "subject = { required = [\"CN\"], allowed = [\"O\"] }\nvalidity =",
        17,
        "profile.device.subject.allowed",
        "CN is required",
        "add \"CN\"",
    ),
    (
        "validity =",
        "subject = { allow_empty = true }\nvalidity =",
        17,
        "profile.device.subject.allow_empty",
        "no kind of alternative name",
        "san.allowed",
    ),
    (
        "validity =",
        "san = { allowed = [\"dns\"], domains = [\"*.example.org\"] }\nvalidity =",
        17,
        "profile.device.san.domains[0]",
        "not a domain",
        "without *",
    ),
    // What other programs' configurations have.
    ("pin_file = \"pin\"", "pin = \"1234\"", 9, "token.main.pin", "secret", "`pin_file`"),
    (
        "ca = \"issuing\"",
        "ca = \"issuing\"\nchallenge = \"hunter2hunter2\"",
        21,
        "endpoint.device.challenge",
        "secret",
        "`chancery challenge mac`",
    ),
    (
        "ca = \"issuing\"",
        "ca = \"issuing\"\nchallenge_mac = \"hunter2hunter2\"",
        21,
        "endpoint.device.challenge_mac",
        "not the MAC",
        "`chancery challenge mac`",
    ),
    (
        "pin_file = \"pin\"",
        "pin_file = \"pin\"\nenvironment = { VENDOR_PIN = \"hunter2\" }",
        10,
        "token.main.environment.VENDOR_PIN",
        "secret",
        "`pin_file`",
    ),
    (
        "pin_file = \"pin\"",
        "pin_file = \"pin\"\nenvironment = { LD_PRELOAD = \"x\" }",
        10,
        "token.main.environment.LD_PRELOAD",
        "which code runs",
        "`module`",
    ),
    (
        "[signer]",
        "[console]\nlisten = \"x\"\n[signer]",
        2,
        "console",
        "not in this version",
        "remove it",
    ),
    ("[signer]", "[ocsp]\n[signer]", 2, "ocsp", "not in this version", "remove it"),
    (
        "[frontend]",
        "[frontend]\ntls_certificate = \"x\"",
        5,
        "frontend.tls_certificate",
        "not in this version",
        "TLS proxy",
    ),
    (
        "ca = \"issuing\"",
        "ca = \"issuing\"\nvalidator = \"intune\"",
        21,
        "endpoint.device.validator",
        "not in this version",
        "`challenge_mac`",
    ),
    (
        "ca = \"issuing\"",
        "ca = \"issuing\"\nndes = true",
        21,
        "endpoint.device.ndes",
        "not in this version",
        "`challenge_mac`",
    ),
];

#[test]
fn every_class_of_error_has_line_key_and_remedy() {
    for (old, new, line, key, problem, remedy) in ROWS {
        assert_eq!(MINIMAL.matches(old).count(), 1, "the row must change one place: {old}");
        let source = MINIMAL.replace(old, new);
        let Err(errors) = parsed(&source) else { panic!("accepted: {new}") };
        let wanted = |e: &&ConfigError| {
            e.line == *line
                && e.key == *key
                && e.problem.contains(problem)
                && e.remedy.contains(remedy)
        };
        assert!(errors.iter().any(|e| wanted(&e)), "{new}\ngives {errors:#?}");
        // A typing error in a name makes it missing elsewhere too; nothing else may follow from one.
        let follows = errors.iter().filter(|e| !wanted(e)).all(|e| {
            e.problem.contains("compulsory")
                || e.problem.contains("PIN comes from")
                || key.is_empty()
        });
        assert!(follows, "{new}\ngives {errors:#?}");
        for error in &errors {
            let shown = error.to_string();
            assert!(
                !shown.contains("hunter2") && !shown.contains("1234"),
                "a secret shows: {shown}"
            );
            assert!(error.column > 0 && !error.remedy.is_empty());
        }
    }
}

#[test]
fn a_crl_can_be_asked_for_only_where_one_is_made() {
    let asking = format!("{MINIMAL}get_crl = true\n");
    assert!(parsed(&asking).unwrap().endpoint["device"].get_crl);
    let none = asking.replace("[ca.issuing]\n", "[ca.issuing]\ncrl.enabled = false\n");
    let errors = parsed(&none).unwrap_err();
    assert_eq!(errors[0].key, "endpoint.device.get_crl");
    assert!(errors[0].remedy.contains("[ca.issuing.crl]"), "{errors:?}");
}

#[test]
fn only_one_time_challenges_are_sealed() {
    let sealed = format!("{MINIMAL}challenge_storage = \"sealed\"\n");
    let errors = parsed(&sealed).unwrap_err();
    assert_eq!(errors[0].key, "endpoint.device.challenge_storage");
    assert!(errors[0].remedy.contains("one_time_challenges = true"), "{errors:?}");
    let sealed = sealed + "one_time_challenges = true\n";
    // And under a key that does not lie beside them.
    let errors = parsed(&sealed).unwrap_err();
    assert_eq!(errors[0].key, "endpoint.device.challenge_storage");
    assert!(errors[0].remedy.contains("seal_key") && errors[0].remedy.contains("seal_credential"));
    let with = |line: &str| parsed(&sealed.replace("queue = 512", line));
    let key = "seal_key = { token = \"main\", label = \"seal\" }";
    let credential = "seal_credential = \"seal\"";
    assert!(with(key).is_ok() && with(credential).is_ok());
    let both = with(&format!("{key}\n{credential}")).unwrap_err();
    assert!(both[0].problem.contains("more than one place"), "{both:?}");
    let other = with(&key.replace("main", "mian")).unwrap_err();
    assert!(other[0].remedy.contains("main"), "{other:?}");
    assert_eq!(with("seal_credential = \"a/b\"").unwrap_err()[0].key, "signer.seal_credential");
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_lines() {
    let source = MINIMAL
        .replace("queue = 512", "quee = 512")
        .replace("127.0.0.1:8080", "localhost")
        .replace("id = \"a1\"", "id = \"xyz\"")
        .replace("\"90d\"", "\"soon\"");
    let errors = parsed(&source).unwrap_err();
    let lines: Vec<usize> = errors.iter().map(|e| e.line).collect();
    assert_eq!(lines, [3, 5, 15, 17], "{errors:#?}");
}

#[test]
fn several_syntax_errors_are_told_and_no_line_is_quoted() {
    let errors = parsed("version = 1\npin = hunter2\nx = ]\n").unwrap_err();
    assert!(errors.len() >= 2, "{errors:#?}");
    assert!(errors.iter().all(|e| !e.to_string().contains("hunter2")), "{errors:#?}");
}

#[test]
fn the_digest_is_of_what_is_in_force() {
    let digest = |source: &str| parsed(source).unwrap().digest();
    let explicit = MINIMAL.replace("validity", "backdate = \"1h\" # as by default\nvalidity");
    assert_eq!(digest(MINIMAL), digest(&explicit));
    assert_ne!(digest(MINIMAL), digest(&MINIMAL.replace("90d", "91d")));
    // However the file is named.
    let here = std::env::current_dir().unwrap();
    let [near, far] =
        [Path::new("a.toml"), &here.join("a.toml")].map(|p| parse(p, MINIMAL).unwrap());
    assert_eq!(near.digest(), far.digest());
    assert_eq!(near.ca["issuing"].certificate, here.join("ca.pem"));
}

#[test]
fn every_key_is_explained_and_every_default_is_what_it_says() {
    let reference = reference();
    for key in
        ["endpoint.NAME.retry_window", "token.NAME.environment", "ca.NAME.ra_signing.key.label"]
    {
        assert!(reference.lines().any(|line| line == key), "{key} is missing");
    }
    let one = explain("endpoint.device.retry_window").unwrap();
    assert!(one.contains("default: \"24h\"") && one.contains("from \"1s\" to \"30d\""), "{one}");
    assert_eq!(one, explain("endpoint.NAME.retry_window").unwrap());
    assert!(explain("token").unwrap().contains("pin_credential"));
    assert!(explain("endpoint.x.pth").unwrap_err().contains("\"path\""));
    // A line without text would be a key without documentation.
    let bare =
        reference.trim_end().split("\n\n").find(|block| block.trim().lines().nth(1).is_none());
    assert_eq!(bare, None);
}

#[test]
fn rubbish_never_panics() {
    for cut in 0..MINIMAL.len() {
        let _ = parsed(&MINIMAL[..cut]);
        let mut bytes = MINIMAL.as_bytes().to_vec();
        for flip in [1u8, 4, 32] {
            bytes[cut] ^= flip;
            let _ = parsed(&String::from_utf8_lossy(&bytes));
            bytes[cut] ^= flip;
        }
    }
}

#[test]
fn the_built_in_profiles_are_the_files_of_their_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pkcs11-profiles");
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let toml = files.filter(|p| p.extension().is_some_and(|e| e == "toml"));
    let mut names: Vec<String> =
        toml.map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, super::token::BUILT_IN_PROFILES);
}

#[test]
fn replicas_lie_on_other_tokens() {
    let key = |replicas: &str| {
        let with = format!("key = {{ token = \"main\", label = \"ca\", replicas = [{replicas}] }}");
        let second =
            "[token.second]\nprofile = \"luna\"\nserial = \"2\"\npin_file = \"pin2\"\n[ca.";
        MINIMAL
            .replacen("key = { token = \"main\", label = \"ca\" }", &with, 1)
            .replacen("[ca.", second, 1)
    };
    let good = parsed(&key("\"second\"")).unwrap();
    assert_eq!(good.ca["issuing"].key.replicas.len(), 1);
    for (replicas, problem) in [
        ("\"main\"", "token main is named already"),
        ("\"second\", \"second\"", "stands in the list twice"),
        ("\"third\"", "third"),
    ] {
        let errors = parsed(&key(replicas)).unwrap_err();
        let text = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(text.contains(problem), "{replicas}: {text}");
    }
}
