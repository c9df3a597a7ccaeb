//! One question to the signer's admin socket.

use std::path::PathBuf;
use std::time::Duration;

use super::command::Common;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use crate::wire::admin::{Request, Response};
use crate::wire::{CallError, Client, ClientLimits, ConnectError};

/// Asks the signer of the configuration and waits for its answer.
pub fn ask(common: &Common, request: Request) -> Result<Response, Failure> {
    Session::open(common, ClientLimits::default().call)?.ask(request)
}

/// A connection to the signer's admin socket, for several questions.
pub struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client<Request>,
}

impl Session {
    /// Connects to the signer of the configuration; each of its answers may take `patience`.
    pub fn open(common: &Common, patience: Duration) -> Result<Self, Failure> {
        Self::at(common.load()?.signer.admin_socket, patience)
    }

    /// Connects to the signer at `socket`.
    pub fn at(socket: PathBuf, patience: Duration) -> Result<Self, Failure> {
        // With a thread of its own, so that the connection is kept while the caller writes files.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|e| failed(Exit::Failed, &e, "try again"))?;
        let limits = ClientLimits { call: patience, ..ClientLimits::default() };
        let client = runtime.block_on(Client::connect(socket, limits));
        let client = client.map_err(|e| call_failed(&e.into()))?;
        Ok(Self { runtime, client })
    }

    /// Asks and waits for the answer.
    pub fn ask(&self, request: Request) -> Result<Response, Failure> {
        let answer = self.runtime.block_on(self.client.call(request));
        match answer.map_err(|e| call_failed(&e))? {
            Response::Refused(why) => {
                Err(failed(Exit::Failed, &why, "do what the cause says, then try again"))
            }
            Response::NotAllowed(why) => Err(failed(
                Exit::NotAuthorised,
                &why,
                "ask somebody whose roles include it; `chancery role show` says who that is",
            )),
            answer => Ok(answer),
        }
    }

    /// Has the signer record that a backup was not made (or verified); where it cannot, says so on the
    /// terminal, and the failure itself goes on.
    pub fn tell_failure(&self, made: bool, place: &str, failure: &Failure) {
        let (place, cause) = (place.to_owned(), failure.cause().to_owned());
        match self.ask(Request::BackupFailed { made, place, cause }) {
            Ok(Response::Done) => {}
            Ok(_) => {
                output::note("the failure is not in the ledger: the signer is another release");
            }
            Err(e) => output::note(&format!("the failure is not in the ledger: {e}")),
        }
    }
}

/// The failure of an answer that does not belong to the question.
pub fn unexpected() -> Failure {
    failed(
        Exit::Failed,
        &"the answer belongs to another question",
        "run the same release of chancery as the signer",
    )
}

fn call_failed(e: &CallError) -> Failure {
    let (exit, next) = match e {
        CallError::NotConnected(ConnectError::WrongUser { .. }) => {
            (Exit::NotAuthorised, "run this as root or as the signer's user")
        }
        CallError::NotConnected(_) => {
            (Exit::Failed, "start the signer, or name its configuration by --config")
        }
        _ => (Exit::Failed, "see the signer's log, then try again"),
    };
    failed(exit, e, next)
}

fn failed(exit: Exit, cause: &dyn std::fmt::Display, next: &str) -> Failure {
    Failure::new(exit, "the signer did not do it", cause, next)
}

impl From<ConnectError> for CallError {
    fn from(why: ConnectError) -> Self {
        Self::NotConnected(why)
    }
}
