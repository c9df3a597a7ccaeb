//! kill -9 of a process that appends: what it was told is durable is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::fixture::*;
use crate::ledger::{Sequence, TransactionState};

const FOLDER: &str = "CHANCERY_TEST_KILL_FOLDER";

/// The child: enrols until it is killed and prints each transaction when it was told.
#[test]
#[ignore = "started by the test below, in a process of its own"]
fn child() {
    let folder = std::env::var_os(FOLDER).unwrap();
    let ledger = ledger(Path::new(&folder));
    let mut out = std::io::stdout().lock();
    // The harness has begun a line of its own.
    writeln!(out).unwrap();
    for i in 0.. {
        let transaction = format!("{}-{i}", std::process::id());
        let (sequence, reserved) = reserve(&ledger, &transaction);
        writeln!(out, "reserved {transaction} {sequence}").unwrap();
        append(&ledger, vec![draft(issued(sequence, &reserved)), start("x")]);
        writeln!(out, "issued {transaction} {sequence}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn killed_processes_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut issued = Vec::new();
    let mut reserved = Vec::new();
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "store::tests::kill::child"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        // Killed after some answers, a little later each round.
        while let Some(Ok(line)) = lines.next() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["reserved", transaction, at] => {
                    reserved.push((transaction.to_owned(), at.to_owned()));
                }
                ["issued", transaction, at] => {
                    issued.push((transaction.to_owned(), at.to_owned()));
                }
                _ => continue,
            }
            told += 1;
            if told == 5 + round * 7 {
                std::thread::sleep(Duration::from_micros(round * 300));
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let ledger = ledger(folder.path());
        assert!(ledger.abandoned_at_open().len() <= 1);
        let record = |transaction: &str, at: &str| {
            let found = ledger.transaction("device", transaction.as_bytes()).unwrap().unwrap();
            assert_eq!(found.sequence, Sequence(at.parse().unwrap()));
            found.state
        };
        for (transaction, at) in &issued {
            assert!(matches!(record(transaction, at), TransactionState::Issued { .. }));
        }
        for (transaction, at) in &reserved {
            assert_ne!(record(transaction, at), TransactionState::Reserved);
        }
    }
    assert!(issued.len() > 100, "{} enrolments", issued.len());
}
