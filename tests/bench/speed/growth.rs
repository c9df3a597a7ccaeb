//! What a ledger of many certificates costs.

use std::time::Instant;

use crate::devices::Pool;
use crate::enrol::Bench;
use crate::report::{Part, Target};
use crate::{Effort, cpu, fill, ledger, raw};

/// The part `growth`.
pub fn measure(effort: Effort) {
    let mut part = Part::new("growth");
    let pool = Pool::shared();
    let sizes: &[u64] = if effort.smoke { &[0, 1000] } else { &[0, 10_000, 100_000, 1_000_000] };
    let issuer = fill::Issuer::p256();
    let mut none = None;
    let instance = raw::lab("p-256");
    let (mut at, mut used) = (0, 0);
    let mut bench: Option<Bench<'_>> = None;
    let mut instance = Some(instance);
    for size in sizes {
        let mut stopped = match (instance.take(), bench.take()) {
            (Some(instance), _) => instance,
            (None, Some(bench)) => bench.instance,
            (None, None) => unreachable!("one of them is there"),
        };
        stopped.stop().unwrap();
        let ledger = fill::open(&stopped.folder().join("state/ledger"));
        let start = Instant::now();
        fill::fill(&ledger, &issuer, size - at);
        if *size > at {
            let rate = (size - at) as f64 / start.elapsed().as_secs_f64();
            part.figure(
                &format!("filling to {size} certificates"),
                "certificates/s",
                &[rate],
                None,
                None,
            );
        }
        ledger.close().unwrap();
        drop(ledger);
        at = *size;
        ledger::covered(&mut stopped);
        let start = Instant::now();
        let mut running = Bench::start(stopped, pool, Some(0)).after(used);
        part.figure(
            &format!("{size} certificates: start"),
            "s",
            &[start.elapsed().as_secs_f64()],
            None,
            None,
        );
        running.measure(8, 300.0, 1.0, Some(1));
        let mut rates = Vec::new();
        let mut p99 = Vec::new();
        for _ in 0..effort.repetitions {
            let outcome = running.measure(32, 600.0, effort.seconds, Some(1));
            rates.push(outcome.rate());
            p99.push(outcome.latency_ms(0.99));
        }
        let target = none.is_some().then_some(Target::AtLeast(0.9));
        part.figure(
            &format!("{size} certificates: throughput"),
            "enrolments/s",
            &rates,
            none,
            target,
        );
        let mut sorted = rates.clone();
        sorted.sort_by(f64::total_cmp);
        none = none.or(Some(sorted[sorted.len() / 2]));
        part.figure(&format!("{size} certificates: p99"), "ms", &p99, None, None);
        let memory: f64 = running.used().iter().map(|(_, u): &(String, cpu::Use)| u.now_mib).sum();
        part.figure(&format!("{size} certificates: memory"), "MiB", &[memory], None, None);
        used = running.asked();
        bench = Some(running);
    }
    part.remark("The limit of the throughput is that with an empty ledger in the same run.");
    part.write().unwrap();
}
