//! How fast the appliance is, against the limits of the same run.
//! `cargo bench --bench speed -- PART…` with the parts raw, enrol, network, peer, ledger, growth, overload; `--smoke` for a
//! short run of raw, enrol, network and overload that fails on errors alone; `--certificates=N` for a smaller ledger. `make bench` and `make bench-smoke`.
//! The part timing, by `make timing`, asks whether the time of an answer tells what it should not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails should stop"
)]

mod cpu;
mod devices;
mod enrol;
#[path = "../fill.rs"]
mod fill;
mod growth;
mod ledger;
mod load;
mod network;
mod overload;
mod peer;
mod profile;
mod raw;
#[path = "../report.rs"]
mod report;
#[path = "../../it/shim.rs"]
#[expect(dead_code, reason = "the tests also read what was signed")]
mod shim;
#[path = "../statistics.rs"]
mod statistics;
mod timing;

/// How long and how often is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Seconds of one measurement.
    pub seconds: f64,
    /// How often each is repeated.
    pub repetitions: usize,
    /// A minute for all, in CI.
    pub smoke: bool,
    /// How many certificates the part `ledger` works with.
    pub certificates: u64,
}

type Measure = fn(Effort);

const PARTS: [(&str, Measure); 8] = [
    ("raw", raw::measure),
    ("enrol", enrol::measure),
    ("network", network::measure),
    ("peer", peer::measure),
    ("ledger", ledger::measure),
    ("growth", growth::measure),
    ("overload", overload::measure),
    ("timing", timing::measure),
];

fn main() {
    let mut names: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if names.first().is_some_and(|n| n == raw::WORKER) {
        raw::work(&names[1..]);
        return;
    }
    let smoke = names.iter().any(|n| n == "--smoke");
    names.retain(|n| n != "--smoke");
    let count = names.iter().find_map(|n| n.strip_prefix("--certificates="));
    let certificates = count.map_or(1_000_000, |n| n.parse().expect("a number of certificates"));
    names.retain(|n| !n.starts_with("--"));
    let effort = match smoke {
        true => Effort { seconds: 2.0, repetitions: 1, smoke, certificates: 5_000 },
        false => Effort { seconds: 6.0, repetitions: 3, smoke, certificates },
    };
    if names.is_empty() {
        // `timing` is no speed and wants another build.
        let in_smoke = ["raw", "enrol", "network", "overload"];
        let all = PARTS.iter().map(|(n, _)| *n).filter(|n| *n != "timing");
        names = all.filter(|n| !smoke || in_smoke.contains(n)).map(str::to_owned).collect();
    }
    for name in &names {
        let Some((_, measure)) = PARTS.iter().find(|(n, _)| n == name) else {
            eprintln!("there is no part «{name}»; there are {}", PARTS.map(|(n, _)| n).join(", "));
            std::process::exit(2);
        };
        measure(effort);
    }
    println!("{}", report::folder().join("report.md").display());
}
