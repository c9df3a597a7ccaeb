//! How fast the appliance is, against the limits of the same run.
//! `cargo bench --bench speed -- PART…` with the parts raw, enrol, peer, growth, overload; `--smoke` for a
//! short run of raw, enrol and overload that fails on errors alone. `make bench` and `make bench-smoke`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a measurement that fails should stop"
)]

mod cpu;
mod devices;
mod enrol;
mod growth;
mod load;
mod overload;
mod peer;
mod raw;
#[path = "../report.rs"]
mod report;

/// How long and how often is measured.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Seconds of one measurement.
    pub seconds: f64,
    /// How often each is repeated.
    pub repetitions: usize,
    /// A minute for all, in CI.
    pub smoke: bool,
}

type Measure = fn(Effort);

const PARTS: [(&str, Measure); 5] = [
    ("raw", raw::measure),
    ("enrol", enrol::measure),
    ("peer", peer::measure),
    ("growth", growth::measure),
    ("overload", overload::measure),
];

fn main() {
    let mut names: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if names.first().is_some_and(|n| n == raw::WORKER) {
        raw::work(&names[1..]);
        return;
    }
    let smoke = names.iter().any(|n| n == "--smoke");
    names.retain(|n| n != "--smoke");
    let effort = match smoke {
        true => Effort { seconds: 2.0, repetitions: 1, smoke },
        false => Effort { seconds: 6.0, repetitions: 3, smoke },
    };
    if names.is_empty() {
        let all =
            if smoke { &["raw", "enrol", "overload"][..] } else { &PARTS.map(|(n, _)| n)[..] };
        names = all.iter().map(|n| (*n).to_owned()).collect();
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
