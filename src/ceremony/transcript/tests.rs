use std::sync::Arc;

use super::*;
use crate::clock::SystemClock;
use crate::random::SystemRandom;

fn tool() -> ToolRecord {
    ToolRecord { version: "0".into(), sha256: "00".into(), system: "x".into(), kernel: "y".into() }
}

fn facts() -> Vec<Fact> {
    vec![
        Fact::Begin {
            format: 1,
            mode: Mode::Rehearsal,
            title: "T".into(),
            plan_sha256: "aa".into(),
            steps: vec!["a".into()],
            tool: tool(),
        },
        Fact::Person { role: "witness".into(), name: "W. Smith".into() },
        Fact::StepBegin { step: "a".into(), number: 1, action: "human.check".into() },
        Fact::Statement {
            step: "a".into(),
            by: "W. Smith".into(),
            role: "witness".into(),
            about: "bag".into(),
            text: "Room 12 \"é\"\n".into(),
        },
        Fact::StepEnd { step: "a".into(), outcome: Outcome::Done, reason: String::new() },
        Fact::End { outcome: Outcome::Done, reason: String::new() },
    ]
}

fn written() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("transcript.jsonl");
    let mut writer = Writer::create(&path, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
    for fact in facts() {
        writer.append(fact).unwrap();
    }
    (folder, path)
}

#[test]
fn reads_what_it_wrote() {
    let (_folder, path) = written();
    let (transcript, tail) = Transcript::read(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(tail, Tail::Clean);
    assert!(transcript.is_complete());
    assert_eq!(transcript.facts().cloned().collect::<Vec<_>>(), facts());
}

#[test]
fn every_flipped_bit_is_found() {
    let (_folder, path) = written();
    let bytes = std::fs::read(&path).unwrap();
    let (whole, _) = Transcript::read(&bytes).unwrap();
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            match Transcript::read(&changed) {
                Err(_) => {}
                // The last line's end is gone: what is left is a torn transcript, and incomplete.
                Ok((t, Tail::Torn(_))) => assert!(!t.is_complete() && place == bytes.len() - 1),
                Ok((t, Tail::Clean)) => {
                    panic!("bit {bit} of byte {place}: {:?}", t.head() == whole.head())
                }
            }
        }
    }
}

#[test]
fn lines_cannot_be_lost_moved_or_doubled() {
    let (_folder, path) = written();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let file = |lines: &[&str]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
    for i in 0..lines.len() - 1 {
        let mut without = lines.clone();
        without.remove(i);
        assert!(Transcript::read(file(&without).as_bytes()).is_err());
        let mut swapped = lines.clone();
        swapped.swap(i, i + 1);
        assert!(Transcript::read(file(&swapped).as_bytes()).is_err());
        let mut doubled = lines.clone();
        doubled.insert(i, lines[i]);
        assert!(Transcript::read(file(&doubled).as_bytes()).is_err());
    }
    // Without its last line it is whole but not complete.
    let (cut, _) = Transcript::read(file(&lines[..lines.len() - 1]).as_bytes()).unwrap();
    assert!(!cut.is_complete());
}

#[test]
fn a_disclosure_keeps_the_fingerprint_and_hides() {
    let (_folder, path) = written();
    let (whole, _) = Transcript::read(&std::fs::read(&path).unwrap()).unwrap();
    let public = redact(&whole, Level::Public).unwrap();
    assert!(!public.contains("Smith") && !public.contains("Room 12"));
    let (read, _) = Transcript::read(public.as_bytes()).unwrap();
    assert_eq!(read.head(), whole.head());
    assert_eq!(read.redacted(), 2);
    // A redacted line's level is part of the chain.
    let forged = public.replacen("\"level\":\"auditor\"", "\"level\":\"public\"", 1);
    assert!(Transcript::read(forged.as_bytes()).is_err());
}

#[test]
fn equal_facts_have_different_commitments() {
    let (_a, first) = written();
    let (_b, second) = written();
    let read = |p| Transcript::read(&std::fs::read(p).unwrap()).unwrap().0;
    assert_ne!(read(first).lines()[1].commit, read(second).lines()[1].commit);
}

#[test]
fn resumes_after_a_torn_line() {
    let (_folder, path) = written();
    let bytes = std::fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i] == b'\n').collect();
    for cut in [ends[2] + 1, ends[2] + 10, ends[4] - 1, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let (mut writer, before) =
            Writer::resume(&path, tool(), Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
        assert!(!before.is_complete());
        writer.append(Fact::End { outcome: Outcome::Aborted, reason: "x".into() }).unwrap();
        let (again, tail) = Transcript::read(&std::fs::read(&path).unwrap()).unwrap();
        assert!(again.is_complete() && tail == Tail::Clean);
        let torn = cut - ends.iter().rev().find(|e| **e < cut).unwrap() - 1;
        assert!(
            again.facts().any(
                |f| matches!(f, Fact::Resume { torn_bytes, .. } if *torn_bytes == torn as u64)
            )
        );
    }
}

#[test]
fn refuses_to_start_over_or_past_the_end() {
    let (_folder, path) = written();
    let again = Writer::create(&path, Arc::new(SystemClock), Arc::new(SystemRandom));
    assert!(matches!(again, Err(TranscriptError::Exists(_))));
    let resumed = Writer::resume(&path, tool(), Arc::new(SystemClock), Arc::new(SystemRandom));
    assert!(matches!(resumed, Err(TranscriptError::Complete(_))));
}
