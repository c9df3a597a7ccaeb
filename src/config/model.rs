//! The top of the configuration: the instance, its roles, its tokens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::ca::Ca;
use super::endpoint::Endpoint;
use super::ledger::Ledger;
use super::profile::Profile;
use super::roles::Roles;
use super::schema::{choice, section};
use super::seal::SealKey;
use super::token::Token;
use super::values::Name;

section! {
    /// The whole configuration.
    pub struct Config {
        /// The version of this schema. It is 1; a file of another version is refused, not guessed at.
        version: u32 [1, 1],
        /// Marks a laboratory: software tokens, extractable keys and `chancery serve` are accepted.
        /// The signer says so loudly at every start. Never set it where certificates count.
        lab: bool = false,
        /// What is logged.
        log: Log = {},
        /// The key-holding role, `chancery signer`.
        signer: Signer = {},
        /// What proves the ledger: its key and its anchors.
        ledger: Ledger = {},
        /// The network role, `chancery frontend`.
        frontend: Frontend = {},
        /// What watches the service: metrics and health.
        metrics: Metrics = {},
        /// Who may use the admin socket, and for what.
        roles: Roles = {},
        /// The PKCS#11 tokens, by a name that the keys refer to.
        token: BTreeMap<Name, Token>,
        /// The certificate authorities, by a name that the endpoints refer to.
        ca: BTreeMap<Name, Ca>,
        /// The certificate profiles, by a name that the endpoints refer to.
        profile: BTreeMap<Name, Profile>,
        /// The SCEP endpoints, by a name that appears in the logs and in the ledger.
        endpoint: BTreeMap<Name, Endpoint>,
    }
}

section! {
    /// What is logged. Records go to the journal where standard error is connected to it, else to
    /// standard error, a line each.
    pub struct Log {
        /// The least severe level that is logged.
        level: LogLevel = "info",
    }
}

choice! {
    /// How severe a log record is.
    pub enum LogLevel ("one of the levels") {
        /// A request or the service failed.
        Error = "error",
        /// Something needs attention.
        Warn = "warn",
        /// What was done: one line an enrolment.
        Info = "info",
        /// How it was done.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}

section! {
    /// The key-holding role: the HSM, the ledger, the policy. It opens no TCP socket.
    pub struct Signer {
        /// The folder of the ledger and of the signer's own secrets (`ledger/`, `secrets/`). Only the
        /// signer's user may enter it.
        state_dir: PathBuf = "/var/lib/chancery/signer",
        /// The Unix socket on which the frontend reaches the signer.
        socket: PathBuf = "/run/chancery/signer.sock",
        /// The Unix socket on which operators' commands reach the signer.
        admin_socket: PathBuf = "/run/chancery/admin.sock",
        /// The user whose processes may use `socket`; without it only the signer's own user.
        frontend_user: Option<String>,
        /// The key in a token from which the seal's key comes: over the requests that the ledger keeps,
        /// and over one-time challenges where an endpoint keeps them sealed. Without it and without
        /// `seal_credential` the seal's key is a file of the state folder (`secrets/request-seal.key`).
        seal_key: Option<SealKey>,
        /// The name of the systemd credential that holds the seal's key instead: 64 hexadecimal digits,
        /// as `openssl rand -hex 32` prints them (`LoadCredentialEncrypted=`).
        seal_credential: Option<String>,
        /// How many requests may wait for a signature. When the queue is full, devices are told to come
        /// back (503 with Retry-After).
        queue: u32 [1, 1000000] = 1024,
        /// How many wrong challenge passwords are borne.
        wrong_challenges: WrongChallenges = {},
        /// How many queries for what is not there are borne.
        unknown_queries: UnknownQueries = {},
        /// How many envelopes that cannot be opened are borne.
        unopened_envelopes: UnopenedEnvelopes = {},
    }
}

section! {
    /// How many wrong challenge passwords are borne. A source that reaches its limit is told to come back
    /// later (503 with Retry-After) without a look at what it sends, until the window ends; so is
    /// everybody when the total is reached. Renewals by certificate go on. The log warns, and the ledger
    /// counts it a minute at a time (`too-many-guesses`).
    pub struct WrongChallenges {
        /// From one source (an IPv4 address, an IPv6 /64) in a window.
        per_source: u32 [1, 1000000] = 60,
        /// From all sources together in a window.
        total: u32 [1, 1000000] = 6000,
        /// The length of a window.
        window: Duration ["1s", "24h"] = "10m",
    }
}

section! {
    /// How many queries are borne that got badCertId: GetCert, GetCRL and CertPoll for what is not there
    /// or by who may not ask. A source that reaches its limit is told to come back later (503 with
    /// Retry-After) whatever it asks by these three, until the window ends; so is everybody when the
    /// total is reached. Enrolments go on. The ledger counts it a minute at a time (`too-many-queries`).
    pub struct UnknownQueries {
        /// From one source (an IPv4 address, an IPv6 /64) in a window.
        per_source: u32 [1, 1000000] = 300,
        /// From all sources together in a window.
        total: u32 [1, 1000000] = 6000,
        /// The length of a window.
        window: Duration ["1s", "24h"] = "10m",
    }
}

section! {
    /// How many envelopes are borne that cannot be opened, or whose content is no sound request: each costs
    /// the HSM an operation, and attacks on the decryption key need many. A source that reaches its limit
    /// is told to come back later (503 with Retry-After) before anything of it is opened, until the window
    /// ends; so is everybody when the total is reached. The log warns, and the ledger counts it a minute at
    /// a time (`too-many-unopened`).
    pub struct UnopenedEnvelopes {
        /// From one source (an IPv4 address, an IPv6 /64) in a window.
        per_source: u32 [1, 10000000] = 60,
        /// From all sources together in a window.
        total: u32 [1, 10000000] = 6000,
        /// The length of a window.
        window: Duration ["1s", "24h"] = "10m",
    }
}

section! {
    /// Metrics in Prometheus' text format at `/metrics`, liveness at `/healthz`, readiness at `/readyz`.
    /// The frontend serves them, its own and the signer's together. `chancery metrics` prints the
    /// signer's without it.
    pub struct Metrics {
        /// The address to serve them on, of the loopback interface: they are for this host alone. Port
        /// 0 takes a free one and prints it. Without it they are not served.
        listen: Option<SocketAddr>,
    }
}

section! {
    /// The network role: HTTP for devices. It holds no secret.
    pub struct Frontend {
        /// The addresses to listen on. The default is reached from this host only; to serve a network,
        /// name the address (`"192.0.2.10:80"`) or all of them (`"0.0.0.0:80"`, `"[::]:80"`). Port 0
        /// takes a free one and prints it.
        listen: Vec<SocketAddr> = ["127.0.0.1:8080"],
        /// How many connections may be open at once; more wait in the kernel's backlog.
        max_connections: u32 [1, 1000000] = 1024,
        /// How many connections one source (an IPv4 address, an IPv6 /64) may have open at once.
        max_connections_per_source: u32 [1, 1000000] = 256,
        /// How long a client may take to send a request's header, and how long a connection may wait
        /// for its next request.
        header_timeout: Duration ["100ms", "10m"] = "5s",
        /// How long a client may take to send a request's body.
        body_timeout: Duration ["100ms", "10m"] = "10s",
        /// How long a client may take none of its answer.
        write_timeout: Duration ["100ms", "10m"] = "10s",
        /// How long the signer may take to answer before the client is told to come back.
        request_timeout: Duration ["1s", "10m"] = "60s",
        /// How long the end of service waits for requests that are under way.
        drain: Duration ["0s", "10m"] = "30s",
        /// The largest SCEP message in bytes, by POST or decoded from GET. The signer reads no longer
        /// ones than the default.
        max_message: u32 [4096, 65536] = 65536,
    }
}
