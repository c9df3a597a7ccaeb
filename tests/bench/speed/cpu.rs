//! Processors: pinning, and what processes used.

use std::collections::BTreeMap;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use softhsm_test::processes::{children, processor_time};

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
    let used = |(id, role): (u32, String)| {
        let status = read(&format!("/proc/{id}/status"));
        let mib = |field: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(field));
            line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
                / 1024.0
        };
        let seconds = processor_time(&format!("/proc/{id}/stat")).as_secs_f64();
        (role, Use { seconds, peak_mib: mib("VmHWM:"), now_mib: mib("VmRSS:") })
    };
    processes(parent).into_iter().map(used).collect()
}

/// Seconds of processor time of each kind of thread in the process and its children: `signer: hsm`.
pub fn threads(parent: u32) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for (id, role) in processes(parent) {
        for task in std::fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten() {
            let at = task.path();
            let name = read(&at.join("comm").to_string_lossy());
            // Threads of one kind are numbered.
            let kind = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
            *all.entry(format!("{role}: {kind}")).or_insert(0.0) +=
                processor_time(&at.join("stat").to_string_lossy()).as_secs_f64();
        }
    }
    all
}

/// The process and its children, each with its role.
pub fn processes(parent: u32) -> Vec<(u32, String)> {
    let role = |id| read(&format!("/proc/{id}/cmdline")).split('\0').nth(1).map(str::to_owned);
    let all = std::iter::once(parent).chain(children(parent));
    all.map(|id| (id, role(id).unwrap_or_default())).collect()
}

/// What the file holds; nothing where its process has ended.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
