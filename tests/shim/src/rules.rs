//! The rules of the control file, one a line:
//!
//! - `rtt_us=N`: each call takes so many microseconds more; `service_us=N` with `lanes=N`: each C_Sign and
//!   C_Decrypt occupies one of so many lanes for so long.
//! - `max_sessions=N`: C_OpenSession fails with CKR_SESSION_COUNT beyond.
//! - `fail FUNCTION RV [skip=N] [every=N] [count=N]`: the function returns the value (`0x30`), after `skip` good
//!   calls, each `every`th time, `count` times at most.
//! - `hang FUNCTION MS [skip=N] [every=N] [count=N]`: it takes so many milliseconds before it goes on.
//! - `corrupt [skip=N] [every=N] [count=N]`: one bit of C_Sign's signature is flipped.
//! - `down RV`: every call fails, as with a dead token or device.
//! - `kill_sessions=K`, `logout=K`: all sessions are gone, or logged out, once for each new K.
//!
//! An empty or missing file: nothing of it. Counters begin anew when the file changes. Each time that a line comes
//! true it is appended to the file that `P11SHIM_PLAYED` names; not so `down`, timings and limits.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use cryptoki_sys::CK_RV;

use crate::record;

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Returns this value instead.
    Fail(CK_RV),
    /// Waits first.
    Hang(Duration),
    /// Flips a bit of the result.
    Corrupt,
}

#[derive(Debug)]
struct Rule {
    line: String,
    function: String,
    act: Act,
    skip: u64,
    every: u64,
    count: u64,
    seen: u64,
    done: u64,
}

/// Everything that the file says now.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) rtt: Duration,
    pub(crate) service: Duration,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) down: Option<CK_RV>,
    pub(crate) kill_sessions: u64,
    pub(crate) logout: u64,
    rules: Vec<Rule>,
    /// When each lane is free again.
    lanes: Vec<Instant>,
}

impl Rules {
    /// What happens to this call, in the order of the file.
    pub(crate) fn acts(&mut self, function: &str) -> Vec<Act> {
        let mut acts = Vec::new();
        for rule in self.rules.iter_mut().filter(|r| r.function == function) {
            rule.seen += 1;
            let turn = rule.seen > rule.skip && (rule.seen - rule.skip - 1) % rule.every == 0;
            if turn && rule.done < rule.count {
                rule.done += 1;
                record::played(&rule.line);
                acts.push(rule.act);
            }
        }
        acts
    }

    /// Books the lane that is free first; until when it is taken. Sleeping until a booked moment keeps the
    /// rate exact, however late a thread wakes.
    pub(crate) fn book(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let lane = self.lanes.iter_mut().min()?;
        *lane = (*lane).max(now) + self.service;
        Some(*lane)
    }
}

fn parse(text: &str) -> Rules {
    let mut rules = Rules::default();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if read(line, &mut rules).is_none() {
            eprintln!("p11shim: this rule is not understood: {line}");
            std::process::abort(); // a test with a wrong rule shows nothing
        }
    }
    rules
}

fn read(line: &str, rules: &mut Rules) -> Option<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let [word] = words.as_slice()
        && let Some((name, value)) = word.split_once('=')
    {
        let number = value.parse::<u64>().ok()?;
        match name {
            "rtt_us" => rules.rtt = Duration::from_micros(number),
            "service_us" => rules.service = Duration::from_micros(number),
            "lanes" => rules.lanes = vec![Instant::now(); usize::try_from(number).ok()?],
            "max_sessions" => rules.max_sessions = usize::try_from(number).ok(),
            "kill_sessions" => rules.kill_sessions = number,
            "logout" => rules.logout = number,
            _ => return None,
        }
        return Some(());
    }
    let (act, function, options) = match words.as_slice() {
        ["down", value] => {
            rules.down = Some(code(value)?);
            return Some(());
        }
        ["fail", function, value, options @ ..] => (Act::Fail(code(value)?), *function, options),
        ["hang", function, ms, options @ ..] => {
            (Act::Hang(Duration::from_millis(ms.parse().ok()?)), *function, options)
        }
        ["corrupt", options @ ..] => (Act::Corrupt, "C_Sign", options),
        _ => return None,
    };
    let mut rule = Rule {
        line: line.into(),
        function: function.into(),
        act,
        skip: 0,
        every: 1,
        count: u64::MAX,
        seen: 0,
        done: 0,
    };
    for option in options {
        let (name, value) = option.split_once('=')?;
        let number = value.parse::<u64>().ok()?;
        match name {
            "skip" => rule.skip = number,
            "every" => rule.every = number.max(1),
            "count" => rule.count = number,
            _ => return None,
        }
    }
    rules.rules.push(rule);
    Some(())
}

fn code(text: &str) -> Option<CK_RV> {
    CK_RV::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

struct File {
    path: Option<PathBuf>,
    looked: Option<Instant>,
    stamp: Option<(SystemTime, u64)>,
    rules: Rules,
}

/// The rules as the file has them; it is looked at again after 5 ms.
pub(crate) fn with<T>(use_them: impl FnOnce(&mut Rules) -> T) -> T {
    static FILE: OnceLock<Mutex<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = std::env::var_os("P11SHIM_CONTROL").map(PathBuf::from);
        Mutex::new(File { path, looked: None, stamp: None, rules: Rules::default() })
    });
    let mut file: MutexGuard<'_, File> = file.lock().unwrap_or_else(PoisonError::into_inner);
    if file.looked.is_none_or(|at| at.elapsed() > Duration::from_millis(5)) {
        file.looked = Some(Instant::now());
        refresh(&mut file);
    }
    use_them(&mut file.rules)
}

fn refresh(file: &mut File) {
    let Some(path) = &file.path else { return };
    let stamp = std::fs::metadata(path).ok().and_then(|m| Some((m.modified().ok()?, m.len())));
    if stamp != file.stamp {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        file.rules = parse(&text);
        file.stamp = stamp;
    }
}
