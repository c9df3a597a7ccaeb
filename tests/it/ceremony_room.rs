//! A production ceremony on SoftHSM as people hold it: a terminal, typed names, words, PINs and shares.

use std::fs;
use std::path::Path;
use std::process::Command;

use chancery::ceremony::words;
use openssl::sha::sha256;
use openssl::x509::X509Req;
use softhsm_test::ceremony::{People, with_tokens};
use softhsm_test::client::Server;
use softhsm_test::instance::{Instance, Options, chancery};

use crate::ceremony::{SMALL, ceremony, text};
use crate::common::{good, granted};

/// Holds the example's production ceremony in `folder`.
fn hold(folder: &Path) -> People {
    let mut people = People::default();
    let plan = include_str!("../../examples/ceremonies/root-and-issuing.toml");
    people.hold(folder, &with_tokens(plan, folder).unwrap()).unwrap();
    people
}

#[test]
fn a_token_of_another_model_gets_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let plan = with_tokens(SMALL, folder.path()).unwrap();
    let plan = plan.replace("label = \"T\"\n", "label = \"T\"\nmodel = \"Another HSM\"\n");
    let held = People::default().hold(folder.path(), &plan);
    let said = held.expect_err("the ceremony went on").to_string();
    assert!(said.contains("plan wants «Another HSM»; use the right token"), "{said}");
    let transcript = fs::read_to_string(folder.path().join("evidence/transcript.jsonl")).unwrap();
    assert!(!transcript.contains("C_GenerateKeyPair"));
    // A blank token of another serial number is not even initialised.
    let folder = tempfile::tempdir().unwrap();
    let plan = with_tokens(SMALL, folder.path()).unwrap();
    let plan = plan.replace("label = \"T\"\n", "label = \"T\"\nserial = \"0815\"\n");
    let said = People::default().hold(folder.path(), &plan).expect_err("it went on").to_string();
    assert!(said.contains("no token with the serial number 0815"), "{said}");
    let transcript = fs::read_to_string(folder.path().join("evidence/transcript.jsonl")).unwrap();
    assert!(transcript.contains("C_GetSlotList") && !transcript.contains("C_InitToken"));
}

#[test]
fn the_production_ceremony_is_held_by_people() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = hold(folder.path()).secrets;
    let verified = ceremony(&["verify", "evidence"], folder.path());
    assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    let report = fs::read_to_string(folder.path().join("evidence/report.md")).unwrap();
    assert!(
        report.contains("seal is torn")
            && report.contains("4711")
            && report.contains("no shielded room")
    );
    assert!(!report.contains("REHEARSAL"));
    no_secret_is_left(&folder.path().join("evidence"), &secrets);
    let ca = folder.path().join("evidence/artefacts");
    let chain = Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile"])
        .arg(ca.join("r1.pem"))
        .arg("-untrusted")
        .arg(ca.join("i1.pem"))
        .arg(ca.join("ra1-signing.pem"))
        .output()
        .unwrap();
    assert!(chain.status.success(), "{}", text(&chain));
}

/// Neither a PIN nor a row of a share is in any file, as it is, without spaces or as a digest (I11).
fn no_secret_is_left(evidence: &Path, secrets: &[String]) {
    assert!(secrets.len() > 20, "{}", secrets.len());
    for place in [evidence.to_path_buf(), evidence.join("artefacts")] {
        for entry in fs::read_dir(place).unwrap().flatten().filter(|e| e.path().is_file()) {
            let content = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).to_uppercase();
            for secret in secrets {
                let plain = secret.replace(' ', "");
                let digest = hex::encode(sha256(plain.as_bytes())).to_uppercase();
                for form in [secret, &plain, &digest] {
                    assert!(!content.contains(form.as_str()), "{}", entry.path().display());
                }
            }
        }
    }
}

/// An appliance on the token `label` of `folder` with what the ceremony in `evidence` left; a device
/// enrols at it, and its chain ends at `root`.
fn enrols_on(folder: &Path, evidence: &Path, label: &str, pin: &str, files: [&str; 2]) {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let verified = chancery::ceremony::verify::verify(evidence, None).unwrap();
    let fingerprint = words::words(&verified.fingerprint.unwrap());
    let certificates = folder.join("certificates");
    fs::create_dir(&certificates).unwrap();
    let import = |fingerprint: &str| {
        Command::new(chancery().unwrap())
            .arg("--config")
            .arg(&instance.config)
            .arg("import")
            .arg(evidence)
            .args(["--fingerprint", fingerprint, "--to"])
            .arg(&certificates)
            .output()
            .unwrap()
    };
    let other = import(&words::words(&[7; 32]));
    assert_eq!(other.status.code(), Some(3), "{}", text(&other));
    assert_eq!(fs::read_dir(&certificates).unwrap().count(), 0);
    let imported = import(&fingerprint);
    assert!(imported.status.success(), "{}", text(&imported));
    assert!(text(&import(&fingerprint)).contains("has this ceremony already"));
    let pin_file = folder.join("pin");
    fs::write(&pin_file, pin.replace(' ', "")).unwrap();
    fs::set_permissions(&pin_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let token = format!(
        "[token.issuing]\nprofile = \"softhsm2\"\nlabel = {label:?}\npin_file = {:?}\nenvironment = {{ SOFTHSM2_CONF = {:?} }}\n",
        pin_file.to_str().unwrap(),
        folder.join("softhsm2.conf").to_str().unwrap()
    );
    let sections = String::from_utf8(imported.stdout).unwrap();
    instance
        .configure(|config| {
            let (head, rest) = config.split_once("[ledger]").unwrap();
            // The laboratory's token goes, and the key in it that seals requests; a file's takes its place.
            let (before, after) = head.split_once("seal_key = ").unwrap();
            let head = format!("{before}{}", after.split_once('\n').unwrap().1);
            let (_, rest) = rest.split_once("[frontend]").unwrap();
            let (frontend, rest) = rest.split_once("[token.main]").unwrap();
            let (_, tail) = rest.split_once("[profile.device]").unwrap();
            // The anchor is what a person adds to the section that the import printed last.
            let anchor = "anchor_file = \"state/ledger-anchor\"\n";
            format!("{head}[frontend]{frontend}{token}{sections}{anchor}[profile.device]{tail}")
        })
        .unwrap();
    let [root, chain] = files.map(|file| certificates.join(file));
    (instance.root, instance.chain) = (root, chain);
    instance.start().unwrap();
    let server = Server::discover(&instance.url).unwrap();
    let (device, draft) = good(&instance, &server, "first-device");
    granted(&instance, &server, &device, &draft);
    let recorded = Command::new(chancery().unwrap())
        .args(["--json", "--config"])
        .arg(&instance.config)
        .args(["ledger", "list"])
        .output()
        .unwrap();
    assert!(text(&recorded).contains("ceremony"), "{}", text(&recorded));
}

#[test]
fn the_appliance_starts_on_what_the_ceremony_left() {
    let folder = tempfile::tempdir().unwrap();
    let people = hold(folder.path());
    let pin = people.noted("«issuing_pin»").remove(0).remove(0);
    let evidence = folder.path().join("evidence");
    enrols_on(folder.path(), &evidence, "I1", &pin, ["r1.pem", "i1.pem"]);
}

/// Root and issuing CA in different places: what one ceremony signs is carried to the next, and the
/// issuing CA's certificate comes back from the offline root before its RA is certified.
#[test]
fn three_ceremonies_exchange_what_one_cannot_do() {
    let (root, issuing) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (root, issuing) = (root.path(), issuing.path());
    let mut custodians = hold(root);
    let first = issuing.join("first");
    fs::create_dir(&first).unwrap();
    let mut operators = People::default();
    let plan = include_str!("../../examples/ceremonies/exchange-1-request.toml");
    // A vendor's tool attests the issuing CA's key.
    let attested = "label = \"I2-2026\"\nattestation = \"i2.xml\"";
    let plan = &plan.replace("label = \"I2-2026\"", attested);
    operators.attestation = Some((first.join("i2.xml"), 0));
    operators.hold(&first, &with_tokens(plan, issuing).unwrap()).unwrap();
    let left = first.join("evidence/artefacts");
    assert_eq!(operators.attestation.as_ref().unwrap().1, 2, "the wrong file was not taken");
    let report = fs::read_to_string(first.join("evidence/report.md")).unwrap();
    assert!(report.contains("1 keys are named by their modules' attestations"), "{report}");

    // To the root, with the request and the words on paper.
    let second = root.join("second");
    fs::create_dir(&second).unwrap();
    for file in ["r1.pem", "r1.crl"] {
        fs::copy(root.join("evidence/artefacts").join(file), second.join(file)).unwrap();
    }
    fs::copy(left.join("i2-request.json"), second.join("i2-request.json")).unwrap();
    let request = X509Req::from_pem(&fs::read(left.join("i2.csr")).unwrap()).unwrap();
    custodians.request = Some(words::phrase(&sha256(&request.to_der().unwrap())));
    let plan = include_str!("../../examples/ceremonies/exchange-2-root.toml");
    let signer = signer_of(&left.join("i2-request.json"));
    let pinned = format!("in = \"i2-request.json\"\nsigner_sha256 = {signer:?}");
    let plan = plan.replace("in = \"i2-request.json\"", &pinned);
    custodians.hold(&second, &with_tokens(&plan, root).unwrap()).unwrap();

    // And back.
    let third = issuing.join("third");
    fs::create_dir(&third).unwrap();
    let response = second.join("evidence/artefacts/i2-response.json");
    let import = |signer: &str| {
        Command::new(chancery().unwrap())
            .args(["exchange", "import"])
            .arg(&response)
            .arg("--request")
            .arg(left.join("i2-request.json"))
            .args(["--signer", signer, "--out"])
            .arg(&third)
            .output()
            .unwrap()
    };
    let stranger = import(&signer);
    assert_eq!(stranger.status.code(), Some(3), "{}", text(&stranger));
    let imported = import(&signer_of(&response));
    assert!(imported.status.success(), "{}", text(&imported));
    fs::copy(root.join("evidence/artefacts/r1.pem"), third.join("r1.pem")).unwrap();
    let plan = include_str!("../../examples/ceremonies/exchange-3-ra.toml");
    operators.hold(&third, &with_tokens(plan, issuing).unwrap()).unwrap();
    for evidence in [first.join("evidence"), second.join("evidence"), third.join("evidence")] {
        let verified = ceremony(&["verify", evidence.to_str().unwrap()], root);
        assert_eq!(verified.status.code(), Some(0), "{}", text(&verified));
    }
    let pin = operators.noted("«issuing_pin»").remove(0).remove(0);
    enrols_on(issuing, &third.join("evidence"), "I2", &pin, ["r1.pem", "i2.pem"]);
}

/// SHA-256 of the key that signed a message, as `exchange show` has it.
fn signer_of(message: &Path) -> String {
    let shown =
        Command::new(chancery().unwrap()).args(["exchange", "show"]).arg(message).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.lines().find_map(|l| l.strip_prefix("signed by ")).unwrap().to_owned()
}
