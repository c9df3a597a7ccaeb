//! The sending half of a connection, in a task of its own.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Sends frames until every sender of `queue` is gone; frames that wait together go out together.
/// A peer that takes nothing for `stall` is an error of kind `TimedOut`.
pub(super) async fn write_frames<W: AsyncWrite + Unpin>(
    stream: W,
    mut queue: mpsc::Receiver<Vec<u8>>,
    stall: Duration,
) -> io::Result<()> {
    let mut stream = BufWriter::with_capacity(32 * 1024, stream);
    while let Some(frame) = queue.recv().await {
        timeout(stall, stream.write_all(&frame)).await??;
        while let Ok(frame) = queue.try_recv() {
            timeout(stall, stream.write_all(&frame)).await??;
        }
        timeout(stall, stream.flush()).await??;
    }
    timeout(stall, stream.shutdown()).await?
}
