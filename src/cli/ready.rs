//! How a role says that it serves: systemd's notification protocol, which `chancery serve` understands
//! too.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::telemetry::pulse::Pulse;

/// Before the addresses in a notification; systemd ignores what it does not know.
const LISTEN: &str = "X_CHANCERY_LISTEN=";

/// What a role's notification says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// It serves from now on.
    pub ready: bool,
    /// The TCP addresses that it listens on.
    pub listen: Vec<SocketAddr>,
}

/// Tells the service manager, if there is one, that the role serves; `listen` are its TCP addresses.
/// A service manager that cannot be told is logged and no more: the role serves nonetheless.
pub fn announce(status: &str, listen: &[SocketAddr]) {
    let addresses: Vec<String> = listen.iter().map(ToString::to_string).collect();
    let custom = format!("{LISTEN}{}", addresses.join(" "));
    let mut states = vec![NotifyState::Ready, NotifyState::Status(status)];
    if !listen.is_empty() {
        states.push(NotifyState::Custom(&custom));
    }
    if let Err(e) = sd_notify::notify(&states) {
        log::warn!(event = crate::telemetry::event::READY; "the service manager was not told: {e}");
    }
}

/// Tells the service manager how the role is, for `systemctl status`.
pub fn status(status: &str) {
    if let Err(e) = sd_notify::notify(&[NotifyState::Status(status)]) {
        log::warn!(event = crate::telemetry::event::READY; "the service manager was not told: {e}");
    }
}

/// Tells the service manager that the role ends.
pub fn announce_stopping() {
    if let Err(e) = sd_notify::notify(&[NotifyState::Stopping]) {
        log::warn!(event = crate::telemetry::event::STOP; "the service manager was not told: {e}");
    }
}

/// The listening TCP sockets that systemd hands to this process; none without a socket unit. Call it
/// before there are other threads: the variables that name the sockets are taken out of the environment.
pub fn handed_over() -> io::Result<Vec<TcpListener>> {
    let mut handed = listenfd::ListenFd::from_env();
    let sockets = (0..handed.len()).map(|index| handed.take_tcp_listener(index));
    sockets.filter_map(Result::transpose).collect()
}

/// Feeds the service manager's watchdog while the role answers: each time, a task that was spawned for it
/// must have run on a worker, and a thread for blocking work, and no part of the role may be silent. Ends
/// at once where no watchdog is set. What the HSM or the disk does has no part in it: that is status, not
/// a reason to be killed.
pub async fn feed_watchdog(pulse: Arc<Pulse>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let pause = (limit / 3).max(Duration::from_millis(100));
    loop {
        let worker = tokio::spawn(async { tokio::task::spawn_blocking(|| ()).await });
        let ran = matches!(worker.await, Ok(Ok(())));
        if let Some(part) = pulse.silent(Instant::now()) {
            log::error!(
                event = crate::telemetry::event::STOP, part;
                "the watchdog is not fed, so that the service is started again: {part} does not answer"
            );
        } else if ran && let Err(e) = sd_notify::notify(&[NotifyState::Watchdog]) {
            log::warn!(event = crate::telemetry::event::READY; "the watchdog was not fed: {e}");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Reads a notification.
pub fn read(message: &[u8]) -> Notice {
    let text = String::from_utf8_lossy(message);
    let mut notice = Notice::default();
    for line in text.lines() {
        if line == "READY=1" {
            notice.ready = true;
        } else if let Some(addresses) = line.strip_prefix(LISTEN) {
            notice.listen = addresses.split(' ').filter_map(|a| a.parse().ok()).collect();
        }
    }
    notice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_matters_and_ignores_the_rest() {
        let notice = read(b"READY=1\nSTATUS=x\nX_CHANCERY_LISTEN=127.0.0.1:80 [::1]:80 rubbish\n");
        assert!(notice.ready);
        assert_eq!(notice.listen, ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        assert_eq!(read(b"STATUS=READY=1\n\xff"), Notice::default());
    }
}
