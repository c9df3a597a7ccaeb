//! One SCEP endpoint as a client sees it, the device that talks to it, and the exchange between.

use std::sync::OnceLock;
use std::time::Duration;

use openssl::base64::encode_block;
use openssl::provider::Provider;
use openssl::rand::rand_bytes;

use super::certificate::{Parts, SelfSigned};
use super::der;
use super::envelope::Envelope;
use super::get::Escaping;
use super::http::{Connection, Request, Response, Url};
use super::keys::{self, Key};
use super::message::{Message, Text};
use super::open::certs_only;
use super::reply::{CertRep, Expected};
use crate::error::{Context, Error, Result, fail};

/// Makes single DES usable in this process (OpenSSL 3 hides it in its legacy provider).
pub fn legacy_ciphers() -> Result<()> {
    static LOADED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let load = || {
        for name in ["default", "legacy"] {
            let provider = Provider::load(None, name).map_err(|e| format!("{name}: {e}"))?;
            // Dropping it would unload it under the other threads.
            std::mem::forget(provider);
        }
        Ok(())
    };
    LOADED.get_or_init(load).clone().map_err(Error::new)
}

/// A device: its key, and the certificate that signs its requests.
#[derive(Clone, Debug)]
pub struct Device {
    /// The private key.
    pub key: Key,
    /// The certificate that signs: self-signed at first, the old one at a renewal.
    pub certificate: Parts,
    /// The challenge under which replies come, where the key cannot decrypt.
    pub password: Option<String>,
}

impl Device {
    /// A device with an RSA-2048 key of its own and an ordinary self-signed certificate.
    pub fn new(common_name: &str) -> Result<Self> {
        Self::with_key(keys::rsa()?, common_name)
    }

    /// The same with a given key.
    pub fn with_key(key: Key, common_name: &str) -> Result<Self> {
        let name = der::name(&[(super::certificate::CN, common_name)]);
        Self::shaped(key, &SelfSigned { name, ..SelfSigned::default() })
    }

    /// A device whose self-signed certificate has a given shape.
    pub fn shaped(key: Key, shape: &SelfSigned) -> Result<Self> {
        let certificate = Parts::from_der(&shape.build(&key)?)?;
        Ok(Self { key, certificate, password: None })
    }

    /// A device that signs with a certificate that it has been issued.
    pub fn issued(key: Key, certificate: Parts) -> Self {
        Self { key, certificate, password: None }
    }

    /// The transaction ID that clients derive from the key: hexadecimal SHA-1 of the SPKI.
    pub fn transaction_id(&self) -> String {
        transaction_id(&self.key.public_key_to_der().unwrap_or_default())
    }
}

fn transaction_id(spki: &[u8]) -> String {
    openssl::sha::sha1(spki).iter().map(|b| format!("{b:02x}")).collect()
}

/// A request before it is built; each field is a knob.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What the envelope carries: a PKCS#10, or what another message type wants.
    pub plaintext: Vec<u8>,
    /// The envelope; `None` signs the plaintext itself.
    pub envelope: Option<Envelope>,
    /// The signed message; its content is set when it is built, unless it is `None`.
    pub message: Message,
}

/// A request as it goes out, with what its reply is checked against.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The DER (or BER) of the pkiMessage.
    pub body: Vec<u8>,
    /// Its transactionID.
    pub transaction_id: Text,
    /// Its senderNonce.
    pub sender_nonce: Vec<u8>,
}

impl Draft {
    /// Seals and signs.
    pub fn build(&self, device: &Device) -> Result<Sent> {
        let mut message = self.message.clone();
        if message.content.is_some() {
            message.content = Some(match &self.envelope {
                Some(envelope) => envelope.seal(&self.plaintext)?,
                None => self.plaintext.clone(),
            });
        }
        Ok(Sent {
            body: message.sign(&device.key, &device.certificate)?,
            transaction_id: self.message.transaction_id.clone(),
            sender_nonce: self.message.sender_nonce.clone(),
        })
    }
}

/// How a message travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// POST with this Content-Type, or none.
    Post(Option<&'static str>),
    /// POST of base64 text.
    PostBase64,
    /// POST without `operation=`.
    PostBare,
    /// GET with the message in the query.
    Get(Escaping),
    /// GET by HTTP/1.0 without a Host field, as old Cisco devices do.
    Http10(Escaping),
}

/// One SCEP endpoint and what GetCACaps and GetCACert said.
#[derive(Clone, Debug)]
pub struct Server {
    /// The endpoint.
    pub url: Url,
    /// The keywords of GetCACaps.
    pub capabilities: Vec<String>,
    /// The certificates of GetCACert in their order.
    pub authorities: Vec<Parts>,
}

impl Server {
    /// Asks for the capabilities and the certificates.
    pub fn discover(url: &str) -> Result<Self> {
        let url = Url::parse(url)?;
        let mut server = Self { url, capabilities: Vec::new(), authorities: Vec::new() };
        let caps = server.ask("GetCACaps", None)?;
        check(&caps, "text/plain").context("GetCACaps")?;
        server.capabilities = caps.text().lines().map(str::to_owned).collect();
        let answer = server.ask("GetCACert", None)?;
        server.authorities = match answer.header("content-type") {
            Some("application/x-x509-ca-cert") => vec![Parts::from_der(&answer.body)?],
            _ => {
                check(&answer, "application/x-x509-ca-ra-cert").context("GetCACert")?;
                certs_only(&answer.body)?.0
            }
        };
        Ok(server)
    }

    /// One of the operations without a message of their own, with an optional `message=`.
    pub fn ask(&self, operation: &str, message: Option<&str>) -> Result<Response> {
        let message = message.map(|m| format!("&message={m}")).unwrap_or_default();
        let target = format!("{}?operation={operation}{message}", self.url.path);
        super::http::send(&self.url, &Request::get(&target))
    }

    /// The certificate to encrypt to: not a CA's, with keyEncipherment; else the first.
    pub fn encryption(&self) -> Result<&Parts> {
        self.authorities
            .iter()
            .find(|c| !c.is_ca() && c.key_usage(2))
            .or(self.authorities.first())
            .ok_or_else(|| Error::new("GetCACert gave no certificate"))
    }

    /// The certificate that issues: the first CA certificate.
    pub fn issuing(&self) -> Result<&Parts> {
        let found = self.authorities.iter().find(|c| c.is_ca());
        found.ok_or_else(|| Error::new("GetCACert gave no CA certificate"))
    }

    /// An ordinary request of `message_type` with `plaintext` in its envelope. The transaction ID is
    /// that of the key in a PKCS#10, and of the device's key where the plaintext is none.
    pub fn draft(&self, device: &Device, message_type: &str, plaintext: Vec<u8>) -> Result<Draft> {
        let mut nonce = [0; 16];
        rand_bytes(&mut nonce)?;
        let id = super::csr::public_key(&plaintext)
            .map_or_else(|_| device.transaction_id(), |spki| transaction_id(&spki));
        Ok(Draft {
            plaintext,
            envelope: Some(Envelope::to(self.encryption()?)),
            message: Message::new(message_type, &id, &nonce, Vec::new()),
        })
    }

    /// Builds, posts and checks.
    pub fn send(&self, device: &Device, draft: &Draft) -> Result<CertRep> {
        let sent = draft.build(device)?;
        let response = self.deliver(&sent.body, &Delivery::Post(None))?;
        self.read(&response, &sent, device)
    }

    /// A PKCSReq for `common_name` with a challenge, built, posted and checked.
    pub fn enrol(&self, device: &Device, common_name: &str, challenge: &str) -> Result<CertRep> {
        let csr = super::Csr::new(common_name).challenge(challenge).build(&device.key)?;
        self.send(device, &self.draft(device, "19", csr)?)
    }

    /// Sends bytes as a PKIOperation over a connection of their own.
    pub fn deliver(&self, body: &[u8], delivery: &Delivery) -> Result<Response> {
        let mut connection = Connection::open(&self.url, Duration::from_secs(60))?;
        connection.send(&self.operation(body, delivery))
    }

    /// The HTTP request of a PKIOperation.
    pub fn operation(&self, body: &[u8], delivery: &Delivery) -> Request {
        let target = format!("{}?operation=PKIOperation", self.url.path);
        let get = |escaping: &Escaping| {
            Request::get(&format!("{target}&message={}", escaping.encode(body)))
        };
        match delivery {
            Delivery::Post(None) => Request::post(&target, body.to_vec()),
            Delivery::Post(Some(kind)) => {
                Request::post(&target, body.to_vec()).header("Content-Type", kind)
            }
            Delivery::PostBase64 => Request::post(&target, encode_block(body).into_bytes()),
            Delivery::PostBare => Request::post(&self.url.path, body.to_vec()),
            Delivery::Get(escaping) => get(escaping),
            Delivery::Http10(escaping) => Request { version: "1.0", host: false, ..get(escaping) },
        }
    }

    /// Checks the HTTP part of a reply (rows 2, 11, 14), then the CertRep in it.
    pub fn read(&self, response: &Response, sent: &Sent, device: &Device) -> Result<CertRep> {
        check(response, "application/x-pki-message")?;
        match response.header("cache-control") {
            Some(value) if value.contains("no-store") => {}
            other => return fail(format!("Cache-Control: {other:?} lacks no-store")),
        }
        CertRep::parse(
            &response.body,
            &Expected {
                transaction_id: &sent.transaction_id,
                sender_nonce: &sent.sender_nonce,
                authorities: &self.authorities,
                key: &device.key,
                signer: &device.certificate,
                password: device.password.as_deref(),
            },
        )
    }
}

fn check(response: &Response, content_type: &str) -> Result<()> {
    if response.status != 200 {
        return fail(format!("HTTP {}: {}", response.status, response.text()));
    }
    if response.header("content-type") != Some(content_type) {
        let found = response.header("content-type");
        return fail(format!("Content-Type {found:?} where {content_type:?} was expected"));
    }
    if response.header("content-length").is_none() {
        return fail("an answer without Content-Length");
    }
    Ok(())
}
