//! The life of the two children.
//!
//! ```text
//! start signer ─ready─▶ start frontend ─ready─▶ serving ─stop─▶ stop frontend ─▶ stop signer
//!       │                     │                  │   ▲
//!       └── ends or hangs ────┴──▶ failure       └───┘ a child that dies is started again, after a
//!                                                      pause that doubles up to 30 s
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use super::child::{Happening, Launch, Running};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::telemetry::event::{CHILD, READY, STOP};

/// The longest pause before a child is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A child that lived so long is started again after the shortest pause.
const STEADY: Duration = Duration::from_secs(60);

/// How long a child may take to stop after the second signal.
const HURRY: Duration = Duration::from_secs(5);

/// What to run, and how patient to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The key-holding role.
    pub signer: Launch,
    /// The network role.
    pub frontend: Launch,
    /// The folder of the notification sockets.
    pub notify_dir: PathBuf,
    /// How long a role may take to be ready at the first start.
    pub start_limit: Duration,
    /// How long a role may take to stop.
    pub stop_limit: Duration,
    /// The first pause before a child is started again.
    pub first_pause: Duration,
}

/// Starts both roles, calls `ready` with the frontend's addresses whenever it serves anew, starts again
/// what dies, and stops them on SIGTERM or SIGINT.
pub async fn supervise(
    plan: &Plan,
    mut ready: impl FnMut(&[SocketAddr]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let mut signer = Slot::new(&plan.signer, plan);
    let mut frontend = Slot::new(&plan.frontend, plan);
    let first = async {
        signer.first_start().await?;
        ready(&frontend.first_start().await?)
    };
    let served = tokio::select! {
        started = first => match started {
            Ok(()) => serve(&mut signer, &mut frontend, &mut stop, ready).await,
            Err(failure) => Err(failure),
        },
        () = stop.wait() => Ok(()),
    };
    log::info!(event = STOP; "stopping: the frontend first, then the signer");
    // A second signal ends the patience.
    let mut hurry = false;
    let frontend = frontend.stop(&mut stop, &mut hurry).await;
    let signer = signer.stop(&mut stop, &mut hurry).await;
    served.and(frontend).and(signer)
}

/// Serves until it is told to stop.
async fn serve(
    signer: &mut Slot<'_>,
    frontend: &mut Slot<'_>,
    stop: &mut Stop,
    mut ready: impl FnMut(&[SocketAddr]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut signer_lost = false;
    loop {
        tokio::select! {
            () = stop.wait() => return Ok(()),
            event = signer.turn() => match event {
                Event::Lost => signer_lost = true,
                Event::Ready(_) if std::mem::take(&mut signer_lost) => {
                    log::info!(event = READY, child = "signer"; "serving again");
                }
                Event::Ready(_) | Event::Nothing => {}
            },
            event = frontend.turn() => if let Event::Ready(listen) = event {
                ready(&listen)?;
            },
        }
    }
}

/// SIGTERM and SIGINT.
struct Stop {
    terminate: Listener,
    interrupt: Listener,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|e| failed("signals", &e));
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: listen(terminate)?, interrupt: listen(interrupt)? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a turn of a slot brought.
enum Event {
    Ready(Vec<SocketAddr>),
    Lost,
    Nothing,
}

/// A role's place: its child, or the time at which the next one is started.
struct Slot<'a> {
    launch: &'a Launch,
    plan: &'a Plan,
    child: Option<Running>,
    pause: Duration,
    next_start: Instant,
}

impl<'a> Slot<'a> {
    fn new(launch: &'a Launch, plan: &'a Plan) -> Self {
        let next_start = Instant::now();
        Self { launch, plan, child: None, pause: plan.first_pause, next_start }
    }

    /// The first start: it must become ready, or nothing runs.
    async fn first_start(&mut self) -> Result<Vec<SocketAddr>, Failure> {
        let role = self.launch.role;
        let started = Running::start(self.launch, &self.plan.notify_dir);
        let child = self.child.insert(started.map_err(|e| failed(role, &e))?);
        let ready = async {
            loop {
                match child.next().await {
                    Ok(Happening::Notice(notice)) if notice.ready => return Ok(notice.listen),
                    Ok(Happening::Notice(_)) => {}
                    Ok(Happening::Ended(status)) => return Err(ended(role, status)),
                    Err(e) => return Err(failed(role, &e)),
                }
            }
        };
        let limit = self.plan.start_limit;
        let listen = timeout(limit, ready).await.unwrap_or_else(|_| {
            Err(failed(role, &format!("it is not ready after {} s", limit.as_secs())))
        })?;
        log::info!(event = READY, child = role; "{role} is ready");
        Ok(listen)
    }

    /// Waits for what the child does next, or starts it when its time has come. May be dropped.
    async fn turn(&mut self) -> Event {
        let role = self.launch.role;
        let Some(child) = &mut self.child else {
            sleep_until(self.next_start).await;
            match Running::start(self.launch, &self.plan.notify_dir) {
                Ok(child) => {
                    log::info!(event = CHILD, child = role; "{role} is started again");
                    self.child = Some(child);
                }
                Err(e) => {
                    log::error!(event = CHILD, child = role; "{role} cannot be started: {e}");
                    self.schedule();
                }
            }
            return Event::Nothing;
        };
        let why = match child.next().await {
            Ok(Happening::Notice(notice)) if notice.ready => return Event::Ready(notice.listen),
            Ok(Happening::Notice(_)) => return Event::Nothing,
            Ok(Happening::Ended(status)) => status.to_string(),
            Err(e) => e.to_string(),
        };
        if child.since.elapsed() >= STEADY {
            self.pause = self.plan.first_pause;
        }
        // Dropping it ends it, where only its socket failed.
        self.child = None;
        let pause = self.pause;
        log::error!(
            event = CHILD, child = role;
            "{role} ended unexpectedly ({why}); it is started again in {} ms", pause.as_millis()
        );
        self.schedule();
        Event::Lost
    }

    fn schedule(&mut self) {
        self.next_start = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Stops the child, if there is one, and waits for its end.
    async fn stop(mut self, stop: &mut Stop, hurry: &mut bool) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let role = self.launch.role;
        let limit = if *hurry { HURRY } else { self.plan.stop_limit };
        child.signal(Signal::TERM);
        let status = tokio::select! {
            status = timeout(limit, child.ended()) => status.ok(),
            () = stop.wait(), if !*hurry => {
                *hurry = true;
                None
            }
        };
        let Some(status) = status else {
            child.signal(Signal::KILL);
            let _ = child.ended().await;
            let cause = format!("{role} did not stop and was killed; what it had recorded stays");
            return Err(failed(role, &cause));
        };
        let status = status.map_err(|e| failed(role, &e))?;
        if status.success() { Ok(()) } else { Err(ended(role, status)) }
    }
}

/// A child that ended by itself with a status of ours says why in its own words.
fn ended(role: &str, status: ExitStatus) -> Failure {
    let known =
        Exit::MEANINGS.into_iter().find(|(exit, _)| Some(exit.code().into()) == status.code());
    match known {
        Some((exit, meaning)) if exit != Exit::Ok => Failure::new(
            exit,
            format!("the {role} ended"),
            format!("its status was {} ({meaning})", exit.code()),
            "see what it said above",
        ),
        _ => failed(role, &format!("it ended unexpectedly ({status})")),
    }
}

fn failed(role: &str, cause: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("the {role} failed"), cause, "see the log above")
}
