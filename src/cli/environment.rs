//! The process's surroundings before a key-holding role begins: the environment that a vendor's
//! module reads, and nothing of the process in core dumps.
//!
//! A PKCS#11 module reads variables such as SOFTHSM2_CONF when it starts. Changing the environment of
//! a running process is not safe, so the process replaces itself once by itself.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getppid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};

use super::exit::Exit;
use super::failure::Failure;
use crate::config::Config;

/// Holds the process's own number after it replaced itself: proof against doing it for ever.
const GUARD: &str = "CHANCERY_REEXECUTED";

/// Sees to it that the environment is what the tokens of `config` need; see [`replace_unless`].
pub fn settle(config: &Config) -> Result<(), Failure> {
    replace_unless(&wanted(config))
}

/// Whether this process has replaced itself already.
pub fn was_replaced() -> bool {
    std::env::var_os(GUARD) == Some(own_number())
}

/// Sees to it that the environment has the variables `wanted` and none by which somebody else's code
/// is loaded. Returns at once where it is so already; otherwise the process starts over with the same
/// arguments. Call it before any thread or file is there that must not be lost.
pub fn replace_unless(wanted: &BTreeMap<OsString, OsString>) -> Result<(), Failure> {
    let present: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    let change = change(wanted, &present);
    if change.is_empty() {
        return Ok(());
    }
    if was_replaced() {
        let cause = format!("these variables do not stay as they were set: {change:?}");
        return Err(failed(&cause, "remove them from the token's environment"));
    }
    let binary = std::env::current_exe()
        .map_err(|e| failed(&e, "see that /proc is there and the binary was not removed"))?;
    let mut command = Command::new(binary);
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(GUARD, own_number());
    for name in change {
        match wanted.get(&name) {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let cause = command.exec();
    Err(failed(&cause, "see that the binary can be executed; it is started once more by itself"))
}

/// The process's number stays the same when it replaces itself.
fn own_number() -> OsString {
    std::process::id().to_string().into()
}

/// Keeps the process's memory out of core dumps and away from debuggers of the same user (T37).
pub fn harden() -> Result<(), Failure> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable))
        .map_err(|e| failed(&e, "allow setrlimit and prctl in the sandbox"))
}

/// Sees to it that this process is told to stop when its parent `parent` dies, however it dies.
pub fn follow(parent: u32) -> Result<(), Failure> {
    set_parent_process_death_signal(Some(Signal::TERM))
        .map_err(|e| failed(&e, "allow prctl in the sandbox"))?;
    // It may have died just before.
    let present = getppid().map(|pid| pid.as_raw_nonzero().get());
    if present == i32::try_from(parent).ok() {
        return Ok(());
    }
    Err(failed(&"the process that started this one has ended", "start it again"))
}

/// What all tokens want together; the configuration's checks refuse two values of one variable.
fn wanted(config: &Config) -> BTreeMap<OsString, OsString> {
    let all = config.token.values().flat_map(|token| &token.environment.0);
    all.map(|(name, value)| (name.into(), value.into())).collect()
}

/// The variables that have to change: missing or different ones, and those that would load other code.
fn change(
    wanted: &BTreeMap<OsString, OsString>,
    present: &BTreeMap<OsString, OsString>,
) -> Vec<OsString> {
    let missing = wanted.iter().filter(|(name, value)| present.get(*name) != Some(*value));
    let loaders = present.keys().filter(|name| loads_code(name) && !wanted.contains_key(*name));
    missing.map(|(name, _)| name).chain(loaders).cloned().collect()
}

fn loads_code(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.starts_with(b"LD_")
        || matches!(name, b"OPENSSL_CONF" | b"OPENSSL_MODULES" | b"OPENSSL_ENGINES")
}

fn failed(cause: &dyn std::fmt::Display, next: &str) -> Failure {
    Failure::new(Exit::Failed, "the process cannot prepare its surroundings", cause, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn changes_what_differs_and_removes_loaders() {
        let wanted = map(&[("SOFTHSM2_CONF", "/lab/softhsm2.conf")]);
        let good =
            map(&[("SOFTHSM2_CONF", "/lab/softhsm2.conf"), ("PATH", "/bin"), ("LDFLAGS", "x")]);
        assert!(change(&wanted, &good).is_empty());
        let other = map(&[("SOFTHSM2_CONF", "/etc/softhsm2.conf"), ("LD_PRELOAD", "/tmp/x.so")]);
        assert_eq!(change(&wanted, &other), ["SOFTHSM2_CONF", "LD_PRELOAD"]);
        assert_eq!(
            change(&wanted, &map(&[("OPENSSL_CONF", "x")])),
            ["SOFTHSM2_CONF", "OPENSSL_CONF"]
        );
    }
}
