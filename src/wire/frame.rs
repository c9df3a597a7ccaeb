//! Frames: `u32 length | u64 id | u8 kind | body`, big endian; the length counts what follows it.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// Bytes of the length field.
const LENGTH: usize = 4;
/// Bytes of id and kind.
const HEAD: usize = 9;
/// What one read asks of the kernel.
const READ_CHUNK: usize = 16 * 1024;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request; client to server.
    Request,
    /// The answer to the request of the same id.
    Answer,
    /// The refusal of the request of the same id.
    Refusal,
    /// "Are you there?"; client to server, without a body.
    Ping,
    /// "Yes"; with the id of the ping.
    Pong,
}

impl Kind {
    fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            0 => Self::Request,
            1 => Self::Answer,
            2 => Self::Refusal,
            3 => Self::Ping,
            4 => Self::Pong,
            _ => return None,
        })
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The request's number, chosen by the client.
    pub id: u64,
    /// What the body is.
    pub kind: Kind,
    /// The encoded message.
    pub body: Bytes,
}

/// Why a stream of frames ended.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer announces more than the protocol allows.
    #[error("the peer announces a frame of {length} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The frame has no room for its id and kind.
    #[error("the peer announces a frame of {0} bytes, the least is 9")]
    TooShort(usize),
    /// No such kind of frame, or not from this side.
    #[error("the peer sends a frame of the unexpected kind {0}")]
    UnexpectedKind(u8),
    /// The stream ended inside a frame.
    #[error("the peer closed the connection inside a frame")]
    Truncated,
    /// Nothing came for too long.
    #[error("the peer sent nothing for {} seconds", .0.as_secs())]
    Idle(Duration),
    /// A frame was begun and not finished.
    #[error("the peer did not finish a frame within {} seconds", .0.as_secs())]
    Stalled(Duration),
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] io::Error),
}

/// A frame as bytes. The caller has bounded the body.
pub fn encode(id: u64, kind: Kind, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEAD + body.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(LENGTH + HEAD + body.len());
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.push(kind as u8);
    out.extend_from_slice(body);
    out
}

/// Takes the first frame off `buffer`; `None` as long as it is not complete. Nothing is reserved for
/// bytes that have not come.
pub fn take(buffer: &mut BytesMut, max_body: usize) -> Result<Option<Frame>, FrameError> {
    let Some(&length) = buffer.first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let limit = HEAD + max_body;
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    if length < HEAD {
        return Err(FrameError::TooShort(length));
    }
    if buffer.len() - LENGTH < length {
        return Ok(None);
    }
    buffer.advance(LENGTH);
    let mut frame = buffer.split_to(length);
    let id = frame.get_u64();
    let octet = frame.get_u8();
    let kind = Kind::from_octet(octet).ok_or(FrameError::UnexpectedKind(octet))?;
    Ok(Some(Frame { id, kind, body: frame.freeze() }))
}

/// How long a reader waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the first byte of a frame.
    pub idle: Duration,
    /// For the rest of it.
    pub stall: Duration,
}

/// Reads frames off a stream.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    max_body: usize,
    patience: Patience,
    /// When the frame at the front of the buffer was begun; none between frames.
    begun: Option<Instant>,
    /// When bytes last came.
    heard: Instant,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of frames with bodies of at most `max_body` bytes.
    pub fn new(stream: R, max_body: usize, patience: Patience) -> Self {
        let heard = Instant::now();
        Self { stream, buffer: BytesMut::new(), max_body, patience, begun: None, heard }
    }

    /// The next frame; `None` where the peer closed between two frames. May be dropped and called
    /// again without loss.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = take(&mut self.buffer, self.max_body)? {
                self.begun = (!self.buffer.is_empty()).then(Instant::now);
                return Ok(Some(frame));
            }
            let (deadline, late) = match self.begun {
                Some(begun) => {
                    (begun + self.patience.stall, FrameError::Stalled(self.patience.stall))
                }
                None => (self.heard + self.patience.idle, FrameError::Idle(self.patience.idle)),
            };
            self.buffer.reserve(READ_CHUNK.min(HEAD + LENGTH + self.max_body));
            let read = self.stream.read_buf(&mut self.buffer);
            let Ok(read) = timeout_at(deadline, read).await else {
                return Err(late);
            };
            if read? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Truncated) };
            }
            self.heard = Instant::now();
            self.begun.get_or_insert(self.heard);
        }
    }
}
