//! Where the service's processor time goes: what the report says where a target is missed. Sampled by perf.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::cpu;

/// How many lines of each table.
const LINES: usize = 10;

/// Samples the process `parent` and its children during `work`: which threads in which libraries, and which
/// functions, in per cent of all samples. Where perf cannot be run the text says why.
pub fn during(parent: u32, work: impl FnOnce()) -> String {
    let sampled = sampled(parent, work);
    sampled.unwrap_or_else(|e| format!("No profile: {e}. Debian's package linux-perf has perf."))
}

fn sampled(parent: u32, work: impl FnOnce()) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let samples = folder.path().join("samples");
    let ids: Vec<String> = cpu::processes(parent).iter().map(|(id, _)| id.to_string()).collect();
    let mut record = Command::new("perf");
    // The clock's event is there without a processor's counters, too.
    record.args(["record", "-q", "-e", "cpu-clock", "-F", "997", "-p", &ids.join(","), "-o"]);
    let mut recorder = record.arg(&samples).spawn().map_err(|e| format!("perf: {e}"))?;
    work();
    let id = Pid::from_raw(recorder.id().cast_signed()).ok_or("perf has no process ID")?;
    // It may have ended by itself, and then has said why.
    let stopped = kill_process(id, Signal::INT);
    let status = recorder.wait().map_err(|e| format!("perf: {e}"))?;
    if stopped.is_err() || !samples.is_file() {
        return Err(format!("perf record ended with {status}"));
    }
    let table = |sort: &str| {
        let mut report = Command::new("perf");
        report.args(["report", "--stdio", "-q", "--no-children", "--sort", sort, "-i"]);
        let output = report.arg(&samples).output().map_err(|e| format!("perf report: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().map(str::trim_end).filter(|l| !l.trim().is_empty()).take(LINES);
        Ok::<_, String>(lines.collect::<Vec<_>>().join("\n"))
    };
    Ok(format!("```\n{}\n\n{}\n```", table("comm,dso")?, table("dso,symbol")?))
}
