//! Measures the ledger at size: fills it through the same store with certificates of a software
//! key, then opens, looks up and verifies. `cargo bench --bench ledger -- FOLDER CERTIFICATES`.
#![allow(clippy::unwrap_used, reason = "a measurement that fails should stop")]

mod fill;

use std::path::PathBuf;
use std::time::Instant;

use chancery::pki::SerialNumber;
use chancery::random::SystemRandom;

fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn main() {
    let args: Vec<String> = std::env::args().filter(|a| a != "--bench").collect();
    let (folder, count) = (PathBuf::from(&args[1]), args[2].parse::<u64>().unwrap());
    let start = Instant::now();
    let ledger = fill::open(&folder);
    println!(
        "ledger open {:?}, {} entries, {} MB",
        start.elapsed(),
        ledger.head().size(),
        resident_mb()
    );
    let start = Instant::now();
    let sample = fill::fill(&ledger, count);
    if count > 0 {
        println!("filled {count}: {:?}, {} MB", start.elapsed(), resident_mb());
    }
    let start = Instant::now();
    for serial in &sample {
        assert!(ledger.by_serial(serial).unwrap().is_some());
    }
    println!("{} look-ups: {:?}", sample.len(), start.elapsed());
    let start = Instant::now();
    let mut n = 0;
    for _ in 0..1000 {
        let key = SerialNumber::random(&SystemRandom).unwrap();
        n += usize::from(ledger.by_serial(&key).unwrap().is_none());
    }
    println!("{n} misses: {:?} {} MB", start.elapsed(), resident_mb());
    if args.get(3).is_some_and(|a| a == "kill") {
        std::process::abort();
    }
    let start = Instant::now();
    ledger.close().unwrap();
    drop(ledger);
    println!("close: {:?}", start.elapsed());
}
