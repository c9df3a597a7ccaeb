//! What the frontend asks of the signer.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Exchange;

/// A request of the frontend.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// What to serve: the endpoints and their unsigned answers.
    Describe,
    /// One SCEP message.
    PkiOperation {
        /// The name of the endpoint that it came to.
        endpoint: String,
        /// The address that it came from, as the frontend saw it.
        source: IpAddr,
        /// The message as it came, already freed of base64.
        #[serde(with = "serde_bytes")]
        message: Vec<u8>,
    },
    /// The signer's metrics.
    Metrics,
    /// Whether the signer can do its work.
    Health,
    /// The ledger's newest checkpoint that may be served.
    LogCheckpoint,
    /// A tile of the ledger under that checkpoint.
    LogTile {
        /// Its path behind `tile/`.
        path: String,
    },
    /// What should be carried to witnesses of the ledger.
    WitnessWork,
    /// What a witness answered.
    WitnessAnswer(WitnessAnswer),
}

impl fmt::Debug for Request {
    /// The message stays out of logs; its length is enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Describe => f.write_str("Describe"),
            Self::Metrics => f.write_str("Metrics"),
            Self::Health => f.write_str("Health"),
            Self::LogCheckpoint => f.write_str("LogCheckpoint"),
            Self::WitnessWork => f.write_str("WitnessWork"),
            Self::WitnessAnswer(answer) => answer.fmt(f),
            Self::LogTile { path } => f.debug_struct("LogTile").field("path", path).finish(),
            Self::PkiOperation { endpoint, source, message } => f
                .debug_struct("PkiOperation")
                .field("endpoint", endpoint)
                .field("source", source)
                .field("message", &format_args!("{} bytes", message.len()))
                .finish(),
        }
    }
}

/// An answer of the signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Describe`].
    Description {
        /// Another number with each configuration of the signer, and with each start.
        generation: u64,
        /// Every endpoint, in the order of the configuration.
        endpoints: Vec<EndpointDescription>,
        /// What else is served, at paths of its own.
        documents: Vec<Document>,
    },
    /// A signed CertRep of any status: HTTP 200.
    CertRep(#[serde(with = "serde_bytes")] Vec<u8>),
    /// No signed reply can be made; the text is fit for the client: HTTP 400.
    BadRequest(String),
    /// The queue is full: HTTP 503.
    Busy {
        /// When to try again, in seconds.
        retry_after_seconds: u32,
    },
    /// The signer cannot work now; the text is for the log, not for the client: HTTP 503.
    Unavailable(String),
    /// No endpoint has that name (any more): HTTP 404, and the frontend asks for a description.
    UnknownEndpoint,
    /// To [`Request::Metrics`]: Prometheus' text.
    Metrics(String),
    /// To [`Request::Health`].
    Health {
        /// What keeps the signer from issuing, a line each; none when all is well.
        problems: Vec<String>,
    },
    /// To [`Request::LogCheckpoint`]: the signed note.
    LogCheckpoint(String),
    /// To [`Request::LogTile`].
    LogTile(#[serde(with = "serde_bytes")] Vec<u8>),
    /// There is no such thing of the log, or it is not published: HTTP 404.
    NotPublished,
    /// To [`Request::WitnessWork`].
    WitnessWork(Vec<WitnessWork>),
    /// To [`Request::WitnessAnswer`].
    Noted,
}

/// A checkpoint on its way to a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessWork {
    /// Which witness.
    pub index: u32,
    /// Number of entries under the checkpoint.
    pub size: u64,
    /// Where to post it.
    pub url: String,
    /// What to post.
    pub body: String,
}

/// The answer of a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessAnswer {
    /// Which witness.
    pub index: u32,
    /// Number of entries under the checkpoint that it was asked about.
    pub size: u64,
    /// The status of HTTP; 0 where there was no answer.
    pub status: u16,
    /// The answer's text, or why there was none.
    pub body: String,
}

/// What the frontend knows of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDescription {
    /// The name in the configuration.
    pub name: String,
    /// The paths as configured, the main one first; the variants that clients make of a path
    /// (trailing slash, `/pkiclient.exe`) are the frontend's business.
    pub paths: Vec<String>,
    /// Whether the fixed paths of other servers (`/cgi-bin/pkiclient.exe`,
    /// `/certsrv/mscep/mscep.dll`) lead here; the first endpoint that says so gets them.
    pub default: bool,
    /// Whether PKIOperation is accepted by GET (RFC 8894 section 4.1).
    pub get_pki_operation: bool,
    /// The body of GetCACaps (section 3.5.2).
    #[serde(with = "serde_bytes")]
    pub caps: Vec<u8>,
    /// The media type of GetCACert's answer (section 4.2.1).
    pub ca_content_type: String,
    /// The body of GetCACert's answer.
    #[serde(with = "serde_bytes")]
    pub ca_body: Vec<u8>,
    /// The body of GetNextCACert's answer (section 4.7); none while no next CA is staged.
    #[serde(with = "serde_bytes")]
    pub next_ca: Option<Vec<u8>>,
}

/// Something that is published as it is: a CRL, a CA certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The URL's path.
    pub path: String,
    /// The media type.
    pub media_type: String,
    /// For how many seconds caches may keep it.
    pub max_age: u32,
    /// The body.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl Exchange for Request {
    type Answer = Response;
    const TAG: u8 = 1;
    const NAME: &'static str = "frontend";
    const VERSION: u16 = 6;
    const MAX_MESSAGE: usize = 1 << 20;
    /// A description holds CRLs; a bundle has 256 entries of up to 64 KiB.
    const MAX_ANSWER: usize = 17 << 20;
}
