//! Processors: pinning, and what processes used.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs `work` with this thread, and every thread and process that it starts, on one processor only.
pub fn on<T>(processor: Option<usize>, work: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).unwrap();
    if let Some(wanted) = processor {
        let available: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|c| before.is_set(*c)).collect();
        let mut set = CpuSet::new();
        set.set(available[wanted % available.len()]);
        sched_setaffinity(None, &set).unwrap();
    }
    let result = work();
    sched_setaffinity(None, &before).unwrap();
    result
}

/// What one process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Use {
    /// Seconds of processor time, in the kernel and outside of it.
    pub seconds: f64,
    /// The most memory that it had, in MiB.
    pub peak_mib: f64,
    /// The memory that it has, in MiB.
    pub now_mib: f64,
}

/// What the process and its children have used, each with its role (`signer`, `frontend`, …).
pub fn family(parent: u32) -> Vec<(String, Use)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let read =
            |name: &str| std::fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default();
        let stat = read("stat");
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if id != parent && fields.get(1).and_then(|p| p.parse().ok()) != Some(parent) {
            continue;
        }
        let ticks: f64 = [11, 12].iter().filter_map(|i| fields[*i].parse::<f64>().ok()).sum();
        let status = read("status");
        let mib = |field: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(field));
            line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
                / 1024.0
        };
        let role = read("cmdline").split('\0').nth(1).unwrap_or_default().to_owned();
        // A tick is a hundredth of a second on every Linux of today.
        all.push((
            role,
            Use { seconds: ticks / 100.0, peak_mib: mib("VmHWM:"), now_mib: mib("VmRSS:") },
        ));
    }
    all
}
