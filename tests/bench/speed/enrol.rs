//! Enrolments end to end: real HTTP, distinct keys, every CertRep verified after the timed part.

use std::collections::BTreeMap;
use std::time::Duration;

use softhsm_test::client::Server;
use softhsm_test::instance::Instance;

use crate::devices::{Pool, Ready};
use crate::report::{Part, Target};
use crate::statistics::median;
use crate::{Effort, cpu, load, profile, raw};

/// A started instance, its endpoint and its requests.
pub struct Bench<'a> {
    /// The instance.
    pub instance: Instance,
    /// The endpoint.
    pub server: Server,
    pool: &'a Pool,
    used: usize,
}

impl<'a> Bench<'a> {
    /// Starts the instance, on one processor where that is wanted.
    pub fn start(mut instance: Instance, pool: &'a Pool, processor: Option<usize>) -> Self {
        cpu::on(processor, || instance.start()).expect("a running instance");
        let server = instance.server().unwrap();
        Self { instance, server, pool, used: 0 }
    }

    /// Begins with another device, where earlier ones have asked this instance before.
    pub fn after(mut self, used: usize) -> Self {
        self.used = used;
        self
    }

    /// How many devices have asked.
    pub const fn asked(&self) -> usize {
        self.used
    }

    /// Requests of devices that have not asked before.
    pub fn requests(&mut self, count: usize) -> Vec<Ready> {
        let ready = self.pool.requests(&self.server, &self.instance.challenge, self.used, count);
        self.used += count;
        ready
    }

    /// What the service's processes have used.
    pub fn used(&mut self) -> Vec<(String, cpu::Use)> {
        cpu::family(self.instance.service("serve").unwrap().pid())
    }

    /// Seconds of processor time of each kind of the service's threads.
    fn threads(&mut self) -> BTreeMap<String, f64> {
        cpu::threads(self.instance.service("serve").unwrap().pid())
    }

    /// One measurement: as many requests as fit into the time, warmed up before.
    pub fn measure(
        &mut self,
        connections: usize,
        expected: f64,
        seconds: f64,
        processor: Option<usize>,
    ) -> load::Outcome {
        let ready = self.requests((expected * seconds * 1.3) as usize + connections);
        let limit = Duration::from_secs_f64(seconds);
        let outcome = cpu::on(processor, || load::run(&self.server, &ready, connections, limit));
        outcome.verify(&self.server, &ready);
        outcome
    }
}

fn processor_seconds(all: &[(String, cpu::Use)], role: &str) -> f64 {
    all.iter().filter(|(r, _)| r == role).map(|(_, u)| u.seconds).sum()
}

/// The part `enrol`.
pub fn measure(effort: Effort) {
    let mut part = Part::new("enrol");
    let pool = Pool::shared();
    for kind in raw::KINDS {
        let all: &[usize] = if effort.smoke { &[32] } else { &[1, 8, 32, 128] };
        pinned(&mut part, pool, kind, true, all, effort);
        if !effort.smoke {
            pinned(&mut part, pool, kind, false, &[32], effort);
            unpinned(&mut part, pool, kind, effort);
        }
    }
    part.remark("With prime_test = false the profile leaves out the primality test of RSA moduli, the costliest check of a key.");
    part.remark("Pinned: the service on one core, the client on another; the limit is the module's own rate on that one core.");
    part.write().unwrap();
}

fn pinned(
    part: &mut Part,
    pool: &Pool,
    kind: &str,
    prime_test: bool,
    counts: &[usize],
    effort: Effort,
) {
    let instance = raw::lab(kind);
    if !prime_test {
        let with = "[profile.device]\nprime_test = false\n";
        instance.configure(|c| c.replace("[profile.device]\n", with)).unwrap();
    }
    let label = if prime_test { "" } else { ", prime_test = false" };
    let limit = cpu::on(Some(0), || raw::sets(&instance, 2, effort.seconds / 2.0));
    let fsync = raw::fsync(instance.folder());
    let mut bench = Bench::start(instance, pool, Some(0));
    let warm = bench.measure(8, limit.rate, 1.0, Some(1)).rate();
    for connections in counts {
        let mut rates = Vec::new();
        let (mut p50, mut p99) = (Vec::new(), Vec::new());
        let (mut signer, mut frontend) = (Vec::new(), Vec::new());
        let mut stages: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for _ in 0..effort.repetitions {
            let (before, threads) = (bench.used(), bench.threads());
            let outcome =
                bench.measure(*connections, warm.max(limit.rate), effort.seconds, Some(1));
            let after = bench.used();
            let count = outcome.answers.len() as f64;
            let spent =
                |role| (processor_seconds(&after, role) - processor_seconds(&before, role)) / count;
            rates.push(outcome.rate());
            p50.push(outcome.latency_ms(0.5));
            p99.push(outcome.latency_ms(0.99));
            signer.push(spent("signer") * 1e6);
            frontend.push(spent("frontend") * 1e6);
            for (kind, seconds) in bench.threads() {
                let spent = seconds - threads.get(&kind).unwrap_or(&0.0);
                stages.entry(kind).or_default().push(spent / count * 1e6);
            }
        }
        let name = format!("{kind} CA, pinned, {connections} connections{label}");
        let wanted = if kind == "rsa-2048" { 0.85 } else { 0.80 };
        let target = (*connections == 32).then_some(Target::AtLeast(wanted));
        let mut missed = part.figure(&name, "enrolments/s", &rates, Some(limit.rate), target);
        part.figure(&format!("{name}: p50"), "ms", &p50, None, None);
        part.figure(&format!("{name}: p99"), "ms", &p99, None, None);
        if *connections == 1 {
            let floor = (1.0 / limit.rate + 2.0 * fsync) * 1e3;
            part.figure(
                &format!("{kind} CA: a lone request"),
                "ms",
                &p50,
                Some(floor),
                Some(Target::AtMost(1.3)),
            );
        }
        if *connections == 32 {
            part.figure(&format!("{name}: CPU of the frontend"), "µs", &frontend, None, None);
            part.figure(&format!("{name}: CPU of the signer"), "µs", &signer, None, None);
            part.figure(
                &format!("{name}: CPU of the module"),
                "µs",
                &[limit.cpu * 1e6],
                None,
                None,
            );
            for (kind, spent) in stages.iter().filter(|(_, s)| median(s) >= 1.0) {
                part.figure(&format!("{name}: CPU of {kind}"), "µs", spent, None, None);
            }
            let own: Vec<f64> =
                signer.iter().zip(&frontend).map(|(s, f)| s + f - limit.cpu * 1e6).collect();
            let own_name = format!("{name}: the appliance's own CPU");
            missed |= part.figure(&own_name, "µs", &own, Some(250.0), Some(Target::AtMost(1.0)));
            if missed {
                let parent = bench.instance.service("serve").unwrap().pid();
                let ready = bench.requests((warm.max(limit.rate) * effort.seconds) as usize);
                let found = profile::during(parent, || {
                    let limit = Duration::from_secs_f64(effort.seconds);
                    cpu::on(Some(1), || load::run(&bench.server, &ready, *connections, limit));
                });
                part.remark(format!("{name}: where the service's processor time goes.\n\n{found}"));
            }
        }
    }
    let peak: f64 = bench.used().iter().map(|(_, u)| u.peak_mib).sum();
    part.figure(
        &format!("{kind} CA{label}: peak memory of all processes"),
        "MiB",
        &[peak],
        None,
        None,
    );
}

fn unpinned(part: &mut Part, pool: &Pool, kind: &str, effort: Effort) {
    let instance = raw::lab(kind);
    let limit = raw::sets(&instance, 4, effort.seconds / 2.0).rate;
    let mut bench = Bench::start(instance, pool, None);
    for connections in [1, 8, 32, 128] {
        let rates: Vec<f64> = (0..effort.repetitions)
            .map(|_| bench.measure(connections, limit, effort.seconds, None).rate())
            .collect();
        let name = format!("{kind} CA, unpinned, {connections} connections");
        part.figure(&name, "enrolments/s", &rates, Some(limit), None);
    }
}
