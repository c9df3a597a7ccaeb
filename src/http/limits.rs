//! The bounds of a server.

use std::time::Duration;

/// What a server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once. The process' limit of open files bounds it further.
    pub connections: usize,
    /// Connections at once from one source: an IPv4 address or an IPv6 /64.
    pub connections_per_source: usize,
    /// Bytes of a request head: the request line and all header fields; at least 8 KiB.
    pub head: usize,
    /// Bytes of the request target, the larger part of a SCEP request by GET.
    pub target: usize,
    /// How long a head may take, counted from when the server begins to wait for it; hence also how
    /// long a connection stays open between two requests.
    pub head_timeout: Duration,
    /// Bytes of a request body.
    pub body: usize,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How long a client may take none of its answer.
    pub write_timeout: Duration,
    /// How long the end of service waits for requests in flight.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_source: 256,
            head: 40 * 1024,
            target: 32 * 1024,
            head_timeout: Duration::from_secs(5),
            body: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(30),
        }
    }
}

/// Open files that are left for everything but connections.
const RESERVED_FILES: u64 = 64;

impl Limits {
    /// These limits, with no more connections than the process may have open files.
    pub(super) fn within_open_files(self) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = files.map_or(usize::MAX, |files| {
            usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX)
        });
        if most < self.connections {
            log::info!(
                "serving {most} connections at once instead of {}: the limit of open files is low \
                 (LimitNOFILE= in the unit, ulimit -n in a shell)",
                self.connections
            );
        }
        Self { connections: self.connections.min(most).max(1), ..self }
    }
}
