//! Key ceremonies without people: plans, rehearsals, tampering, crashes, disclosure.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chancery::ceremony::verify::Verdict;
use softhsm_test::instance::chancery;

/// A plan with every kind of step that leaves something, quick enough to be run many times.
pub(crate) const SMALL: &str = include_str!("ceremony_small.toml");

pub(crate) fn ceremony(arguments: &[&str], folder: &Path) -> Output {
    Command::new(chancery().unwrap())
        .arg("ceremony")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

pub(crate) fn text(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}\n{err}")
}

fn small(folder: &Path) {
    fs::write(folder.join("plan.toml"), SMALL).unwrap();
}

fn rehearsed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let done = ceremony(&["rehearse", "plan.toml", "--out", "o"], folder.path());
    assert_eq!(code(&done), 0, "{}", text(&done));
    folder
}

#[test]
fn every_example_is_rehearsed_and_verifies() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ceremonies");
    let mut count = 0;
    for entry in fs::read_dir(&examples).unwrap() {
        let plan = entry.unwrap().path();
        if plan.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        count += 1;
        let folder = tempfile::tempdir().unwrap();
        let plan = plan.to_str().unwrap();
        let done = ceremony(&["rehearse", plan, "--out", "o"], folder.path());
        assert_eq!(code(&done), 0, "{plan}: {}", text(&done));
        let verified = ceremony(&["verify", "o/evidence"], folder.path());
        assert_eq!(code(&verified), 0, "{plan}: {}", text(&verified));
        assert!(text(&verified).contains("REHEARSAL"));
    }
    assert!(count >= 3);
}

#[test]
fn a_rehearsal_marks_everything() {
    let folder = rehearsed();
    let artefacts = folder.path().join("o/evidence/artefacts");
    for name in ["r.pem", "i.pem"] {
        let shown = Command::new("openssl")
            .args(["x509", "-noout", "-subject", "-in"])
            .arg(artefacts.join(name))
            .output()
            .unwrap();
        assert!(text(&shown).contains("REHEARSAL"), "{}", text(&shown));
    }
    let transcript = fs::read_to_string(folder.path().join("o/evidence/transcript.jsonl")).unwrap();
    assert!(transcript.lines().next().unwrap().contains("\"mode\":\"rehearsal\""));
    assert!(transcript.contains("\"label\":\"REHEARSAL R\""));
    let verified = Command::new("openssl")
        .args(["verify", "-CAfile"])
        .arg(artefacts.join("r.pem"))
        .arg(artefacts.join("i.pem"))
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", text(&verified));
}

#[test]
fn two_rehearsals_of_a_plan_have_one_snapshot() {
    let read = |folder: &tempfile::TempDir| {
        fs::read_to_string(folder.path().join("o/snapshot.md")).unwrap()
    };
    let (first, second) = (read(&rehearsed()), read(&rehearsed()));
    assert_eq!(first, second);
    for wanted in ["C_GenerateKeyPair", "CA:TRUE, pathlen:1", "CN=REHEARSAL R", "Valid for"] {
        assert!(first.contains(wanted), "{wanted}\n{first}");
    }
}

#[test]
fn a_bundle_lists_every_file_and_holds_nothing_else() {
    let folder = rehearsed();
    let bundled = ceremony(&["bundle", "create", "o/evidence", "bundle"], folder.path());
    assert_eq!(code(&bundled), 0, "{}", text(&bundled));
    let verdict = || code(&ceremony(&["verify", "bundle"], folder.path()));
    assert_eq!(verdict(), 0);
    let report = folder.path().join("bundle/report.md");
    let whole = fs::read(&report).unwrap();
    fs::write(&report, "All is well.").unwrap();
    assert_eq!(verdict(), 3);
    fs::write(&report, whole).unwrap();
    fs::write(folder.path().join("bundle/more"), "x").unwrap();
    assert_eq!(verdict(), 3);
}

#[test]
fn every_line_that_is_tampered_with_is_found() {
    let folder = rehearsed();
    let path = folder.path().join("o/evidence/transcript.jsonl");
    let whole = fs::read(&path).unwrap();
    let paper = chancery::ceremony::verify::verify(path.parent().unwrap(), None).unwrap();
    let paper = paper.fingerprint.unwrap();
    let mut start = 0;
    for (number, line) in whole.split_inclusive(|b| *b == b'\n').enumerate() {
        // One byte in the middle of each line, one at its end, the line gone, the line doubled.
        let mut variants = Vec::new();
        for place in [start + line.len() / 2, start + line.len() - 2] {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            variants.push(changed);
        }
        variants.push([&whole[..start], &whole[start + line.len()..]].concat());
        variants.push([&whole[..start], line, &whole[start..]].concat());
        for changed in variants {
            fs::write(&path, changed).unwrap();
            let found =
                chancery::ceremony::verify::verify(path.parent().unwrap(), Some(&paper)).unwrap();
            assert_ne!(found.verdict, Verdict::Good, "line {}", number + 1);
        }
        start += line.len();
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(code(&ceremony(&["verify", "o/evidence"], folder.path())), 0);
}

#[test]
fn changed_missing_and_added_files_are_found() {
    let folder = rehearsed();
    let evidence = folder.path().join("o/evidence");
    let verdict = || code(&ceremony(&["verify", "o/evidence"], folder.path()));
    for name in ["artefacts/r.pem", "artefacts/r.crl", "artefacts/response.json", "plan.toml"] {
        let path = evidence.join(name);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, changed).unwrap();
        assert_eq!(verdict(), 3, "{name}");
        fs::remove_file(&path).unwrap();
        assert_eq!(verdict(), 3, "{name}");
        fs::write(&path, whole).unwrap();
    }
    fs::write(evidence.join("artefacts/more.pem"), b"x").unwrap();
    assert_eq!(verdict(), 3);
    fs::remove_file(evidence.join("artefacts/more.pem")).unwrap();
    assert_eq!(verdict(), 0);
    let other = "aardvark adroitness ".repeat(16);
    let wrong = ceremony(&["verify", "o/evidence", "--fingerprint", &other], folder.path());
    assert_eq!(code(&wrong), 3);
}

/// Crashes a rehearsal, resumes it, and looks for anything that was made twice.
fn crash_and_resume(option: &str, line: usize) {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let what = format!("{option} {line}");
    let evidence = folder.path().join("o/evidence");
    let verdict = || chancery::ceremony::verify::verify(&evidence, None).unwrap().verdict;
    let at = line.to_string();
    let crashed = ceremony(&["rehearse", "plan.toml", "--out", "o", option, &at], folder.path());
    assert_eq!(crashed.status.code(), None, "{what}");
    assert_eq!(verdict(), Verdict::Incomplete, "{what}");
    let resumed = ceremony(&["rehearse", "plan.toml", "--out", "o", "--resume"], folder.path());
    assert_eq!(code(&resumed), 0, "{what}: {}", text(&resumed));
    assert_eq!(verdict(), Verdict::Good, "{what}");
    let transcript = fs::read_to_string(evidence.join("transcript.jsonl")).unwrap();
    for (kind, count) in [("key-intent", 2), ("to-be-signed", 4), ("signature", 4)] {
        let found = transcript.matches(&format!("\"kind\":\"{kind}\"")).count();
        assert_eq!(found, count, "{what}: {kind}");
    }
    // The destroyed key is gone; of the other one there is one half each.
    let last = transcript.lines().rfind(|l| l.contains("\"kind\":\"inventory\"")).unwrap();
    for class in ["CKO_PRIVATE_KEY", "CKO_PUBLIC_KEY"] {
        assert_eq!(last.matches(class).count(), 1, "{what}: {last}");
    }
}

#[test]
fn a_crash_at_each_step_leaves_a_partial_transcript_that_resumes() {
    let whole = rehearsed();
    let lines = fs::read_to_string(whole.path().join("o/evidence/transcript.jsonl")).unwrap();
    // After an announcement nothing is done yet; before the line that tells of it, it is.
    let announced = ["key-intent", "to-be-signed", "step-begin"];
    let told = [
        ["begin", "token-initialised", "key"],
        ["signature", "artefact", "equality-drill"],
        ["key-destroyed", "seal", "end"],
    ];
    let has = |line: &str, kinds: &[&str]| {
        kinds.iter().any(|k| line.contains(&format!("\"kind\":\"{k}\"")))
    };
    let mut places = Vec::new();
    for (index, line) in lines.lines().enumerate() {
        if has(line, &announced) {
            places.push(("--crash-after", index + 1));
        }
        if has(line, &told.concat()) {
            places.push(("--crash-before", index + 1));
        }
    }
    assert!(places.len() > 30, "{places:?}");
    std::thread::scope(|scope| {
        for half in places.chunks(places.len().div_ceil(2)) {
            scope.spawn(move || {
                half.iter().for_each(|(option, line)| crash_and_resume(option, *line));
            });
        }
    });
}

/// Stand-ins of existing CRLs and keys that a step has destroyed since are no reason to stop.
#[test]
fn an_example_that_begins_with_existing_keys_resumes() {
    for name in ["rollover", "exchange-2-root", "destruction"] {
        let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ceremonies").join(name);
        let plan = plan.with_extension("toml");
        let plan = plan.to_str().unwrap();
        let whole = tempfile::tempdir().unwrap();
        let done = ceremony(&["rehearse", plan, "--out", "o"], whole.path());
        assert_eq!(code(&done), 0, "{name}: {}", text(&done));
        let transcript = whole.path().join("o/evidence/transcript.jsonl");
        let lines = fs::read_to_string(transcript).unwrap();
        let kind = |kind: &str| {
            let wanted = format!("\"kind\":\"{kind}\"");
            lines.lines().position(|l| l.contains(&wanted)).map(|index| index + 1)
        };
        let last = lines.lines().count() - 2;
        let places = [kind("to-be-signed"), kind("key-destroyed"), Some(last)];
        for place in places.into_iter().flatten() {
            let folder = tempfile::tempdir().unwrap();
            let at = place.to_string();
            let crash = ["rehearse", plan, "--out", "o", "--crash-after", &at];
            let crashed = ceremony(&crash, folder.path());
            assert_eq!(crashed.status.code(), None, "{name}, line {place}");
            let resumed = ceremony(&["rehearse", plan, "--out", "o", "--resume"], folder.path());
            assert_eq!(code(&resumed), 0, "{name}, line {place}: {}", text(&resumed));
            let verified = ceremony(&["verify", "o/evidence"], folder.path());
            assert_eq!(code(&verified), 0, "{name}, line {place}: {}", text(&verified));
        }
    }
}

#[test]
fn a_disclosure_hides_people_and_keeps_the_fingerprint() {
    let folder = rehearsed();
    let disclosed = ceremony(
        &["bundle", "disclose", "o/evidence", "public", "--level", "public"],
        folder.path(),
    );
    assert_eq!(code(&disclosed), 0, "{}", text(&disclosed));
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    for name in ["public/transcript.jsonl", "public/report.html", "public/report.md"] {
        assert!(!read(name).contains("Rehearsal witness"), "{name}");
    }
    assert!(!folder.path().join("public/artefacts/t.backup").exists());
    let json = |at: &str| {
        let out = Command::new(chancery().unwrap())
            .args(["--json", "ceremony", "verify", at])
            .current_dir(folder.path())
            .output()
            .unwrap();
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    };
    let (whole, public) = (json("o/evidence"), json("public"));
    assert_eq!(whole["fingerprint"], public["fingerprint"]);
    assert_eq!(public["verdict"], "good");
}

#[test]
fn a_dry_run_writes_nothing_and_shows_everything() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let run = ceremony(&["run", "plan.toml", "--dry-run"], folder.path());
    assert_eq!(code(&run), 0, "{}", text(&run));
    for word in [
        "C_InitToken",
        "C_GenerateKeyPair",
        "CKA_SENSITIVE",
        "C_DestroyObject",
        "c certificate",
        "BEGIN TO BE SIGNED",
    ] {
        assert!(text(&run).contains(word), "{word}");
    }
    assert!(!text(&run).contains("REHEARSAL"), "{}", text(&run));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    // The calls that it foresees are those that are made, down to the mechanisms and templates.
    let foreseen = text(&run);
    let foreseen: Vec<String> =
        foreseen.lines().filter(|l| l.starts_with("C_")).map(call).collect();
    let rehearsal = rehearsed();
    let transcript = rehearsal.path().join("o/evidence/transcript.jsonl");
    let made = calls(&fs::read_to_string(transcript).unwrap());
    assert!(made.iter().any(|c| c == "C_Sign the restored copy"), "{made:?}");
    assert_eq!(foreseen, made);
}

/// The calls of a transcript as a dry run lists them.
fn calls(transcript: &str) -> Vec<String> {
    let lines = transcript.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let facts = lines.map(|l| l["entry"]["fact"].clone()).filter(|f| f["kind"] == "call");
    let text = |fact: &serde_json::Value, key: &str| fact[key].as_str().unwrap().to_owned();
    facts.map(|f| call(&format!("{} {}", text(&f, "function"), text(&f, "detail")))).collect()
}

/// A call without what is new each time, nor what only the token knows: its name, the order of its objects.
fn call(line: &str) -> String {
    let (function, detail) = line.split_once(' ').unwrap_or((line, ""));
    if detail.starts_with("the restored copy") {
        return format!("{function} the restored copy");
    }
    if matches!(function, "C_Initialize" | "C_GetTokenInfo" | "C_GetAttributeValue") {
        return function.to_owned();
    }
    let words = detail.split(' ').filter(|w| w.trim_matches([';', ',']).len() < 32);
    format!("{function} {}", words.collect::<Vec<_>>().join(" ").replace("REHEARSAL ", ""))
}

#[test]
fn a_plan_that_breaks_a_lint_fails_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    fs::write(&plan, SMALL.replace("validity = \"20y\"", "validity = \"30y\"")).unwrap();
    let checked = ceremony(&["plan", "check", "plan.toml"], folder.path());
    assert_eq!(code(&checked), 8);
    assert!(text(&checked).contains("validity-length"), "{}", text(&checked));
    fs::write(
        &plan,
        SMALL
            .replace("skip_lints = []", "skip_lints = [\"validity-length\"]")
            .replace("validity = \"20y\"", "validity = \"30y\""),
    )
    .unwrap();
    assert_eq!(code(&ceremony(&["plan", "check", "plan.toml"], folder.path())), 0);
}

#[test]
fn the_script_names_every_step_and_its_words() {
    let folder = tempfile::tempdir().unwrap();
    small(folder.path());
    let script = text(&ceremony(&["plan", "script", "plan.toml"], folder.path()));
    let plan = chancery::ceremony::plan::load(SMALL).unwrap();
    for step in &plan.steps {
        assert!(script.contains(&format!("({}, {})", step.id, step.name)), "{}", step.id);
        if step.confirm > 0 {
            let digest = chancery::ceremony::plan::step_digest(&plan.digest(), &step.id);
            assert!(script.contains(&chancery::ceremony::words::phrase(&digest)));
        }
    }
    assert!(script.contains("PRODUCTION SCRIPT") && script.contains("<svg"));
    assert!(script.contains("issuing-ca, 9y") && script.contains("CRL http://pki.example/r1.crl"));
    let rehearsal = text(&ceremony(&["plan", "script", "plan.toml", "--rehearsal"], folder.path()));
    assert!(rehearsal.contains("REHEARSAL SCRIPT"));
}
