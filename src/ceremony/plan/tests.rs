use super::*;

const GOOD: &str = r##"
schema = 1
title = "Example Root R1"
policy = "https://pki.example/cps/v3.2#6.1.1"

[roles.administrator]
[roles.custodian]
min = 3

[token.root]
profile = "softhsm2"
label = "ROOT"
pin = "root_pin"
so_pin = "root_so"

[secret.root_pin]
source = "generate"
share = { threshold = 2, of = 3, role = "custodian" }
[secret.root_so]
source = "typed"
holder = "administrator"

[profile.root]
kind = "root-ca"
validity = "20y"
path_length = 1

[[step]]
id = "init"
do = "token.init"
token = "root"
[[step]]
id = "k1"
do = "key.generate"
token = "root"
label = "R1"
algorithm = "ec-p384"
purpose = "ca-sign"
confirm = 2
[[step]]
id = "c1"
do = "cert.self-signed"
key = "k1"
profile = "root"
subject = "C=SE, O=Example, CN=Example Root R1"
out = "r1.pem"
[[step]]
id = "l1"
do = "crl.sign"
issuer = "c1"
previous = "none"
next_update = "12mo"
out = "r1.crl"
[[step]]
id = "end"
do = "human.attest"
role = "administrator"
text = "It went as the script says."
"##;

fn problems(source: &str) -> Vec<String> {
    load(source).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// Replaces one text of the good plan and expects a problem with all the `words`.
fn refuses(from: &str, to: &str, words: &[&str]) {
    assert!(GOOD.contains(from), "{from}");
    let found = problems(&GOOD.replacen(from, to, 1));
    let all = |p: &String| words.iter().all(|w| p.contains(w));
    assert!(found.iter().any(all), "«{to}» should say {words:?}; says {found:#?}");
}

#[test]
fn a_good_plan_is_good() {
    let plan = load(GOOD).unwrap_or_else(|p| panic!("{p:#?}"));
    assert_eq!(plan.steps.len(), 5);
    assert_eq!(plan.steps[1].confirm, 2);
    assert_eq!(plan.digest().hex(), hex::encode(openssl::sha::sha256(GOOD.as_bytes())));
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion_and_their_line() {
    refuses("title =", "titel =", &["line 3", "«titel»", "«title»"]);
    refuses("holder = ", "holdr = ", &["secret.root_so", "«holder»"]);
    refuses("algorithm =", "algoritm =", &["step k1", "«algorithm»"]);
    refuses("out = \"r1.pem\"", "out = \"r1.pem\"\nmax = 1", &["step c1", "«max»"]);
    refuses("do = \"key.generate\"", "do = \"key.genrate\"", &["step k1", "«key.generate»"]);
    refuses("[profile.root]", "[profil.x]\n[profile.root]", &["«profil»", "«profile»"]);
}

#[test]
fn wrong_values_are_told() {
    refuses("schema = 1", "schema = 2", &["schema 2"]);
    refuses("\"ec-p384\"", "\"ec-p385\"", &["ec-p385"]);
    refuses("\"20y\"", "\"20x\"", &["20x"]);
    refuses(
        "\"https://pki.example/cps/v3.2#6.1.1\"",
        "\"https://pki.example/cps\"",
        &["version and a section"],
    );
    refuses("\"r1.crl\"", "\"../r1.crl\"", &["plain file name"]);
    refuses("\"r1.crl\"", "\"r1.pem\"", &["written twice"]);
    refuses("confirm = 2", "confirm = 9", &["confirm = 9"]);
    refuses("threshold = 2", "threshold = 4", &["make no sense"]);
    refuses("min = 3", "min = 2", &["fewer holders"]);
}

#[test]
fn secrets_in_the_plan_are_refused_and_not_repeated() {
    refuses("pin = \"root_pin\"", "pin = \"73911\"", &["pin names no", "must not stand"]);
    assert!(
        !problems(&GOOD.replacen("pin = \"root_pin\"", "pin = \"73911\"", 1))
            .concat()
            .contains("73911")
    );
    refuses(
        "source = \"typed\"",
        "source = \"typed\"\nvalue = \"73911\"",
        &["secret must not stand"],
    );
    refuses("label = \"ROOT\"", "label = \"ROOT\"\nuser_pin = \"1\"", &["secret must not stand"]);
}

#[test]
fn the_order_of_the_world_is_checked() {
    refuses(
        "id = \"init\"\ndo = \"token.init\"\ntoken = \"root\"",
        "id = \"init\"\ndo = \"human.attest\"\nrole = \"administrator\"\ntext = \"x\"",
        &["no step initialises"],
    );
    refuses("key = \"k1\"", "key = \"k2\"", &["step c1", "k2 is not a key", "nothing"]);
    refuses("issuer = \"c1\"", "issuer = \"k1\"", &["step l1", "k1 is not a certificate"]);
    refuses("previous = \"none\"", "previous = \"l1\"", &["l1 is not a CRL at this point"]);
    refuses("purpose = \"ca-sign\"", "purpose = \"log-sign\"", &["log-sign", "one purpose"]);
    let swapped =
        GOOD.replacen("id = \"k1\"", "id = \"tmp\"", 1).replacen("id = \"c1\"", "id = \"k1\"", 1);
    assert!(!problems(&swapped).is_empty());
    let destroyed = GOOD.replacen(
        "[[step]]\nid = \"l1\"",
        "[[step]]\nid = \"d\"\ndo = \"key.destroy\"\nkey = \"k1\"\nreason = \"x\"\n[[step]]\nid = \"l1\"",
        1,
    );
    assert!(problems(&destroyed).concat().contains("destroyed before"));
    let backup = "[[step]]\nid = \"b\"\ndo = \"key.backup\"\ntoken = \"root\"\nmethod = \"token-directory\"\nout = \"t.backup\"\n[[step]]\nid = \"d\"";
    let kept = destroyed.replacen("[[step]]\nid = \"d\"", backup, 1);
    let forgotten = "the backup t.backup still holds the key k1";
    assert!(problems(&kept).concat().contains(forgotten), "{:?}", problems(&kept));
    // Of which tokens a copy of files is a backup, their profiles say.
    let (folder, name) = ("a folder of files", "needs the name of a file");
    let said = problems(&kept).concat();
    assert!(!said.contains(folder) && !said.contains(name), "{said}");
    let device = kept.replace("profile = \"softhsm2\"", "profile = \"luna\"");
    assert!(problems(&device).concat().contains(folder), "{:?}", problems(&device));
    let nameless = kept.replacen("out = \"t.backup\"\n", "", 1);
    assert!(problems(&nameless).concat().contains(name), "{:?}", problems(&nameless));
    let told =
        kept.replacen("reason = \"x\"", "reason = \"x\"\ncopies = [\"t.backup, safe A\"]", 1);
    assert!(!problems(&told).concat().contains(forgotten));
}

#[test]
fn each_step_has_its_own_words() {
    let digest = PlanDigest::of(GOOD);
    assert_ne!(step_digest(&digest, "k1"), step_digest(&digest, "c1"));
    assert_ne!(step_digest(&digest, "k1"), step_digest(&PlanDigest::of("x"), "k1"));
}

#[test]
fn rubbish_is_an_error_and_no_panic() {
    for text in [
        "",
        "x",
        "schema = 1",
        "step = 1",
        "[[step]]",
        "schema = \"1\"\n[token]\nx = 1",
        "step = [1]",
        "roles = 1",
    ] {
        assert!(load(text).is_err(), "{text}");
    }
}
