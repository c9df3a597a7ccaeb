//! Processes as `/proc` shows them. What has ended meanwhile is left out.

use std::time::Duration;

/// The children of the process `parent`.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = processes.filter_map(|p| p.ok()?.file_name().to_str()?.parse().ok());
    // Behind the state.
    let parent_of = |id: u32| stat(&format!("/proc/{id}/stat")).get(1)?.parse::<u32>().ok();
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// Processor time in the kernel and outside of it, in hundredths of a second, of the process or thread whose
/// `stat` file this is (proc_pid_stat(5): `utime` and `stime`, which threads that have ended are part of).
pub fn processor_time(file: &str) -> Duration {
    let fields = stat(file);
    let ticks = [11, 12].iter().filter_map(|i| fields.get(*i)?.parse::<u64>().ok()).sum::<u64>();
    // A tick is a hundredth of a second on every Linux of today.
    Duration::from_millis(10 * ticks)
}

/// The fields behind the name, which may hold anything.
fn stat(file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().map(str::to_owned).collect()
}
