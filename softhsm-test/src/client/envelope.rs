//! EnvelopedData (RFC 5652 section 6) as a client writes it, well or badly.

use openssl::encrypt::Encrypter;
use openssl::pkey::{PKey, Public};
use openssl::rand::rand_bytes;
use openssl::rsa::Padding;
use openssl::symm::{Crypter, Mode};

use super::algorithms::{Cipher, Transport, transport_identifier};
use super::certificate::Parts;
use super::der::{self, tag};
use super::password::Password;
use crate::error::{Context, Result};

/// The content type id-data.
pub const ID_DATA: &str = "1.2.840.113549.1.7.1";
/// The content type id-envelopedData.
pub const ID_ENVELOPED_DATA: &str = "1.2.840.113549.1.7.3";

/// How a certificate is named in a RecipientInfo or a SignerInfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// By its issuer's name and its serial number.
    IssuerAndSerial,
    /// By its subjectKeyIdentifier (the SHA-1 of its SPKI where it has none).
    KeyIdentifier,
}

impl Identifier {
    /// The DER of the identifier, and the version that goes with it in a RecipientInfo.
    pub fn of(self, certificate: &Parts) -> Vec<u8> {
        match self {
            Self::IssuerAndSerial => der::seq(&[&certificate.issuer, &certificate.serial]),
            Self::KeyIdentifier => {
                let fallback = || openssl::sha::sha1(&certificate.spki).to_vec();
                der::tlv(0x80, &certificate.key_identifier().unwrap_or_else(fallback))
            }
        }
    }
}

/// One recipient of an envelope.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// Whose key the content key is encrypted to.
    pub certificate: Parts,
    /// How the certificate is named.
    pub identifier: Identifier,
}

/// An envelope before it is sealed.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The recipients, in their order.
    pub recipients: Vec<Recipient>,
    /// The passwords that open it as well, or instead, in their order behind the recipients.
    pub passwords: Vec<Password>,
    /// The content cipher.
    pub cipher: Cipher,
    /// The key transport.
    pub transport: Transport,
    /// The inner content type.
    pub content_type: &'static str,
    /// Indefinite lengths and strings in pieces.
    pub ber: bool,
    /// The key transport's algorithm identifier lacks its parameters.
    pub bare_algorithms: bool,
    /// Take this whole modulus-length block for raw RSA instead of padding the content key.
    pub raw_block: Option<Vec<u8>>,
    /// Put these bytes into encryptedKey, whatever they are.
    pub encrypted_key: Option<Vec<u8>>,
    /// The content cipher's bytes are these, whatever they are.
    pub ciphertext: Option<Vec<u8>>,
    /// The content is padded with this instead of PKCS#7 padding (the total must fill blocks).
    pub padding: Option<Vec<u8>>,
}

impl Envelope {
    /// An ordinary envelope to one certificate: AES-128-CBC, RSA v1.5, by issuer and serial.
    pub fn to(certificate: &Parts) -> Self {
        let identifier = Identifier::IssuerAndSerial;
        Self {
            recipients: vec![Recipient { certificate: certificate.clone(), identifier }],
            passwords: Vec::new(),
            cipher: Cipher::Aes128,
            transport: Transport::Pkcs1,
            content_type: ID_DATA,
            ber: false,
            bare_algorithms: false,
            raw_block: None,
            encrypted_key: None,
            ciphertext: None,
            padding: None,
        }
    }

    /// An envelope under a password alone: AES-128-CBC.
    pub fn under(password: Password, certificate: &Parts) -> Self {
        Self { recipients: Vec::new(), passwords: vec![password], ..Self::to(certificate) }
    }

    /// The ContentInfo with `content` sealed.
    pub fn seal(&self, content: &[u8]) -> Result<Vec<u8>> {
        if self.cipher == Cipher::Des {
            super::legacy_ciphers()?;
        }
        let cipher = self.cipher.openssl();
        let mut key = vec![0; cipher.key_len()];
        let mut iv = vec![0; cipher.iv_len().unwrap_or(0)];
        rand_bytes(&mut key)?;
        rand_bytes(&mut iv)?;
        let ciphertext = match &self.ciphertext {
            Some(bytes) => bytes.clone(),
            None => self.encrypt(&key, &iv, content)?,
        };
        let recipients = self.recipients.iter().map(|r| self.recipient_info(r, &key));
        let passwords = self.passwords.iter().map(|p| p.recipient_info(&key));
        let recipients = der::set_of(recipients.chain(passwords).collect::<Result<_>>()?);
        let algorithm = der::seq(&[&der::oid(self.cipher.oid()), &der::octets(&iv)]);
        let sealed =
            [der::oid(self.content_type), algorithm, der::string(0x80, &ciphertext, self.ber)]
                .concat();
        let v2 = self.recipients.iter().any(|r| r.identifier == Identifier::KeyIdentifier);
        let version = match self.passwords.is_empty() {
            true => der::int(if v2 { 2 } else { 0 }),
            false => der::int(3),
        };
        let content = der::constructed(tag::SEQUENCE, &sealed, self.ber);
        let body = [version, recipients, content].concat();
        let enveloped = der::constructed(tag::SEQUENCE, &body, self.ber);
        let wrapped = der::constructed(0xa0, &enveloped, self.ber);
        let info = [der::oid(ID_ENVELOPED_DATA), wrapped].concat();
        Ok(der::constructed(tag::SEQUENCE, &info, self.ber))
    }

    fn encrypt(&self, key: &[u8], iv: &[u8], content: &[u8]) -> Result<Vec<u8>> {
        let cipher = self.cipher.openssl();
        let mut crypter = Crypter::new(cipher, Mode::Encrypt, key, Some(iv))?;
        let mut plain = content.to_vec();
        if let Some(padding) = &self.padding {
            plain.extend(padding);
            crypter.pad(false);
        }
        let mut out = vec![0; plain.len() + 2 * cipher.block_size()];
        let written = crypter.update(&plain, &mut out)?;
        let rest = crypter.finalize(&mut out[written..])?;
        out.truncate(written + rest);
        Ok(out)
    }

    fn recipient_info(&self, recipient: &Recipient, key: &[u8]) -> Result<Vec<u8>> {
        let encrypted = match &self.encrypted_key {
            Some(bytes) => bytes.clone(),
            None => self.encrypt_key(&recipient.certificate, key)?,
        };
        let version = match recipient.identifier {
            Identifier::IssuerAndSerial => 0,
            Identifier::KeyIdentifier => 2,
        };
        Ok(der::seq(&[
            &der::int(version),
            &recipient.identifier.of(&recipient.certificate),
            &transport_identifier(self.transport, self.bare_algorithms),
            &der::octets(&encrypted),
        ]))
    }

    fn encrypt_key(&self, to: &Parts, key: &[u8]) -> Result<Vec<u8>> {
        let public = PKey::public_key_from_der(&to.spki).context("the recipient's key")?;
        if let Some(block) = &self.raw_block {
            let mut out = vec![0; public.size()];
            let rsa = public.rsa().context("the recipient's key")?;
            let length = rsa.public_encrypt(block, &mut out, Padding::NONE)?;
            out.truncate(length);
            return Ok(out);
        }
        encrypt_key(&public, self.transport, key)
    }
}

/// A content key encrypted to `public`.
pub fn encrypt_key(public: &PKey<Public>, transport: Transport, key: &[u8]) -> Result<Vec<u8>> {
    let mut encrypter = Encrypter::new(public)?;
    match transport {
        Transport::Pkcs1 => encrypter.set_rsa_padding(Padding::PKCS1)?,
        Transport::Oaep(digest) => {
            encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
            encrypter.set_rsa_oaep_md(digest.openssl())?;
            encrypter.set_rsa_mgf1_md(digest.openssl())?;
        }
    }
    let mut out = vec![0; encrypter.encrypt_len(key)?];
    let length = encrypter.encrypt(key, &mut out)?;
    out.truncate(length);
    Ok(out)
}
