//! The socket as hyper sees it: with a timeout for writing, a proper 414, and a lingering close.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a closed connection is still read from, so that the kernel does not answer unread bytes
/// with a reset, which would take the last answer away from the client.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read and thrown away while lingering.
const LINGER_BYTES: usize = 4 << 20;

/// What hyper sends where a head does not fit its buffer, up to the reason phrase.
const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large";
/// What is right where already the request line does not.
const TARGET_TOO_LONG: &[u8] = b"HTTP/1.1 414 URI Too Long";

/// A client's socket.
#[derive(Debug)]
pub(super) struct ClientIo<S> {
    socket: S,
    write_timeout: Duration,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    line: FirstLine,
    max_target: usize,
    /// An answer of our own in place of hyper's, as far as it is not sent yet.
    replaced: Vec<u8>,
    linger: Option<Linger>,
}

/// The length of the first line since the last answer, without empty lines before it.
#[derive(Debug, Default)]
struct FirstLine {
    length: usize,
    ended: bool,
}

impl FirstLine {
    fn take_in(&mut self, bytes: &[u8]) {
        if self.ended {
            return;
        }
        let bytes = match self.length {
            0 => bytes.trim_ascii_start(),
            _ => bytes,
        };
        let end = bytes.iter().position(|&byte| byte == b'\n');
        self.length = self.length.saturating_add(end.unwrap_or(bytes.len()));
        self.ended = end.is_some();
    }
}

#[derive(Debug)]
struct Linger {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl<S> ClientIo<S> {
    pub(super) fn new(socket: S, write_timeout: Duration, max_target: usize) -> Self {
        Self {
            socket,
            write_timeout,
            stalled: None,
            line: FirstLine::default(),
            max_target,
            replaced: Vec::new(),
            linger: None,
        }
    }

    /// Gives up where the client has taken nothing for too long.
    fn watch<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stalled = None;
            return done;
        }
        let timeout = self.write_timeout;
        let stalled =
            self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + timeout)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        this.line.take_in(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + AsyncRead + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let too_long = !this.line.ended || this.line.length > this.max_target;
        if this.replaced.is_empty()
            && too_long
            && let Some(rest) = bytes.strip_prefix(TOO_LARGE)
        {
            this.replaced = [TARGET_TOO_LONG, rest].concat();
        }
        if !this.replaced.is_empty() {
            // hyper's bytes count as written once ours are.
            while !this.replaced.is_empty() {
                let written = Pin::new(&mut this.socket).poll_write(cx, &this.replaced);
                let written = ready!(this.watch(cx, written))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                this.replaced.drain(..written);
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.socket).poll_write(cx, bytes);
        let written = ready!(this.watch(cx, written))?;
        this.line = FirstLine::default();
        Poll::Ready(Ok(written))
    }

    // No vectored writes: hyper then hands over head and body in one piece.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let linger = this.linger.get_or_insert_with(|| Linger {
            until: Box::pin(sleep_until(Instant::now() + LINGER)),
            bytes: 0,
        });
        let mut scratch = [0; 8192];
        while linger.bytes < LINGER_BYTES && linger.until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => linger.bytes += buffer.filled().len(),
                // Closed by the client, or broken: there is nothing to wait for.
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
