//! An HSM at the other end of a network: each operation takes its time, and some go on at once. The shim plays
//! it, so that its limit is known exactly.

use crate::devices::Pool;
use crate::enrol::Bench;
use crate::report::{Part, Target};
use crate::shim::Shim;
use crate::statistics::median;
use crate::{Effort, raw};

/// What an enrolment asks of the HSM: a decryption and two signatures.
const OPERATIONS: f64 = 3.0;
/// How much of the HSM's limit has to be used where the HSM is the limit.
const WANTED: f64 = 0.95;

/// The part `network`.
pub fn measure(effort: Effort) {
    let mut part = Part::new("network");
    let pool = Pool::shared();
    // 20 ms are a key in a cloud: there the HSM is the limit on small machines, too.
    let (lanes, times): (&[usize], &[u32]) =
        if effort.smoke { (&[8], &[20]) } else { (&[8, 16, 64], &[1, 5, 20]) };
    for lanes in lanes {
        played(&mut part, pool, *lanes, times, effort);
    }
    part.remark("Service and client share all cores. The ideal is lanes / (operations × service time), an operation being its init and its call together; where it is below half of the rate at zero latency it is the limit, else that rate is: what the processors carry, SoftHSM's own work included.");
    part.write().unwrap();
}

fn played(part: &mut Part, pool: &Pool, lanes: usize, times: &[u32], effort: Effort) {
    let instance = raw::lab("p-256");
    let shim = Shim::before(&instance);
    // Some more than lanes, so that none is idle while a thread fetches its next operation.
    let workers = format!("[token.main]\nworkers = {}\n", lanes + lanes / 2);
    instance.configure(|c| c.replace("[token.main]\n", &workers)).unwrap();
    let connections = 3 * lanes;
    let mut bench = Bench::start(instance, pool, None);
    let warm = bench.measure(8, 300.0, 1.0, None).rate();
    let rates = |bench: &mut Bench<'_>, expected: f64| -> Vec<f64> {
        let run = |_| bench.measure(connections, expected, effort.seconds, None).rate();
        (0..effort.repetitions).map(run).collect()
    };
    let without = rates(&mut bench, 1.5 * warm);
    part.figure(&format!("{lanes} lanes, zero latency"), "enrolments/s", &without, None, None);
    let without = median(&without);
    for ms in times {
        shim.rules(&format!("service_us={}\nlanes={lanes}", ms * 1000));
        let ideal = lanes as f64 / (OPERATIONS * f64::from(*ms) / 1000.0);
        let (limit, target) = match ideal < without / 2.0 {
            true => (ideal, Some(Target::AtLeast(WANTED))),
            false => (without, None),
        };
        let name = format!("{lanes} lanes, {ms} ms a call (ideal {ideal:.0}/s)");
        let rates = rates(&mut bench, 1.2 * ideal.min(without));
        part.figure(&name, "enrolments/s", &rates, Some(limit), target);
    }
}
