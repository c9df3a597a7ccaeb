//! Four times what the service can carry: what it carries must stay, every refusal must be a 503, and memory
//! must be flat.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use softhsm_test::client::http::Connection;

use crate::devices::Pool;
use crate::enrol::Bench;
use crate::report::{Part, Target};
use crate::{Effort, cpu, raw};

const CONNECTIONS: usize = 192;

/// The part `overload`.
pub fn measure(effort: Effort) {
    let mut part = Part::new("overload");
    let pool = Pool::shared();
    let instance = raw::lab("p-256");
    // A queue that the connections can fill, so that there is something to refuse.
    instance.configure(|c| c.replace("[signer]\n", "[signer]\nqueue = 32\n")).unwrap();
    let mut bench = Bench::start(instance, pool, Some(0));
    bench.measure(8, 300.0, 1.0, Some(1));
    let peak = bench.measure(32, 600.0, effort.seconds, Some(1)).rate();
    let seconds = if effort.smoke { 6.0 } else { 60.0 };
    let ready = bench.requests((peak * seconds * 1.3) as usize);
    let open: Mutex<Vec<usize>> = Mutex::new((0..ready.len()).rev().collect());
    let (good, refused, offered) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    let mut memory = Vec::new();
    // Each connection offers its part of four times the peak; who was refused asks again later.
    let pause = Duration::from_secs_f64(CONNECTIONS as f64 / (4.0 * peak));
    let start = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    let work = &|n: usize| {
        let mut connection = None;
        let mut next = start + pause.mul_f64(n as f64 / CONNECTIONS as f64);
        while start.elapsed() < limit {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            // What could not be offered in time is not made up for: that would be another load.
            next = (next + pause).max(Instant::now());
            let Some(place) = open.lock().unwrap().pop() else { return };
            offered.fetch_add(1, Ordering::Relaxed);
            let mut link = match connection.take() {
                Some(link) => link,
                None => Connection::open(&bench.server.url, Duration::from_secs(60)).unwrap(),
            };
            let answer = link.send_raw(&ready[place].bytes, false).expect("an answer");
            let closes =
                answer.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
            match answer.status {
                200 => {
                    let one = &ready[place];
                    let reply = bench.server.read(&answer, &one.sent, &one.device).unwrap();
                    reply.certificate().expect("a certificate");
                    good.fetch_add(1, Ordering::Relaxed);
                }
                503 if answer.header("retry-after").is_some() => {
                    refused.fetch_add(1, Ordering::Relaxed);
                    open.lock().unwrap().insert(0, place);
                }
                other => wrong.lock().unwrap().push(format!("{other}: {}", answer.text())),
            }
            connection = (!closes).then_some(link);
        }
    };
    let pid = bench.instance.service("serve").unwrap().pid();
    cpu::on(Some(1), || {
        std::thread::scope(|scope| {
            for n in 0..CONNECTIONS {
                scope.spawn(move || work(n));
            }
            while start.elapsed() < limit {
                let now: f64 = cpu::family(pid).iter().map(|(_, u)| u.now_mib).sum();
                memory.push(now);
                std::thread::sleep(limit / 20);
            }
        });
    });
    let elapsed = start.elapsed().as_secs_f64();
    let rate = |n: &AtomicUsize| n.load(Ordering::Relaxed) as f64 / elapsed;
    part.figure("peak before", "enrolments/s", &[peak], None, None);
    part.figure("offered", "requests/s", &[rate(&offered)], Some(peak), None);
    part.figure(
        "carried meanwhile",
        "enrolments/s",
        &[rate(&good)],
        Some(peak),
        Some(Target::AtLeast(0.9)),
    );
    part.figure("refused with 503 and Retry-After", "requests/s", &[rate(&refused)], None, None);
    let wrong = wrong.into_inner().unwrap();
    part.figure("answered otherwise", "requests", &[wrong.len() as f64], None, None);
    let quarter = memory.len() / 4;
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
    let (early, late) = (mean(&memory[quarter..2 * quarter]), mean(&memory[3 * quarter..]));
    part.figure(
        "memory, last quarter to second",
        "MiB",
        &[late],
        Some(early),
        Some(Target::AtMost(1.1)),
    );
    part.write().unwrap();
    assert!(wrong.is_empty(), "{:?}", &wrong[..wrong.len().min(3)]);
}
