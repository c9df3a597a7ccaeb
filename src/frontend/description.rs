//! Keeping the directory as the signer describes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::directory::Directory;
use crate::wire::frontend::{Request, Response};
use crate::wire::{CallError, Client, LinkStatus};

/// The least time between two questions, also where every answer gives reason for another.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Asks for the description whenever the signer is connected anew, whenever `wanted` is notified, and
/// every `refresh`. The last one stays in force while the signer is away. `reconfigured` hears of each
/// new configuration of the signer.
pub(super) async fn keep_current(
    mut signer: Client<Request>,
    directory: watch::Sender<Option<Arc<Directory>>>,
    wanted: Arc<Notify>,
    refresh: Duration,
    reconfigured: Arc<Notify>,
) {
    let mut known = None;
    loop {
        let mut next = refresh;
        if matches!(signer.status(), LinkStatus::Up { .. }) {
            match signer.call(Request::Describe).await {
                Ok(Response::Description { generation, endpoints, documents }) => {
                    if known.replace(generation).is_some_and(|before| before != generation) {
                        reconfigured.notify_one();
                    }
                    take_over(&directory, Directory::new(endpoints).publishing(documents));
                }
                Ok(other) => log::error!("the signer answers Describe with {other:?}"),
                // The connection's own task reports what happened to it.
                Err(CallError::Lost(_) | CallError::NotConnected(_)) => {}
                Err(e) => {
                    log::warn!("the signer does not describe its endpoints: {e}");
                    next = AT_MOST_EVERY.min(refresh);
                }
            }
        }
        let reconnected =
            async { while !matches!(signer.changed().await, LinkStatus::Up { .. }) {} };
        tokio::select! {
            () = reconnected => {}
            () = sleep(next) => {}
            () = async { sleep(AT_MOST_EVERY).await; wanted.notified().await } => {}
        }
    }
}

fn take_over(directory: &watch::Sender<Option<Arc<Directory>>>, new: Directory) {
    directory.send_if_modified(|current| {
        if current.as_deref() == Some(&new) {
            return false;
        }
        let endpoints = new.endpoints();
        log::info!(endpoints = endpoints; "serving the endpoints that the signer describes");
        *current = Some(Arc::new(new));
        true
    });
}
