//! A content key under a password: PasswordRecipientInfo (RFC 5652 section 6.2.4, RFC 3211), as a
//! client whose key cannot decrypt writes and reads it, with knobs for the hostile.

use openssl::pkcs5::pbkdf2_hmac;
use openssl::rand::rand_bytes;
use openssl::symm::{Crypter, Mode};

use super::algorithms::{Cipher, Digest, identifier};
use super::der::{self, Reader, tag};
use crate::error::{Error, Result, fail};

const PBKDF2: &str = "1.2.840.113549.1.5.12";
const PWRI_KEK: &str = "1.2.840.113549.1.9.16.3.9";

/// What is made of a password.
#[derive(Clone, Debug)]
pub struct Password {
    /// The password.
    pub text: String,
    /// PBKDF2's iterations.
    pub iterations: u64,
    /// Say this many iterations in the message, whatever was derived.
    pub claimed: Option<u64>,
    /// The digest of PBKDF2's HMAC.
    pub prf: Digest,
    /// The cipher that wraps the content key.
    pub cipher: Cipher,
    /// Flip a bit of the wrapped key.
    pub tampered: bool,
}

impl Password {
    /// As OpenSSL's `cms` does it: HMAC-SHA-1, 2048 iterations, with AES-128.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.into(),
            iterations: 2048,
            claimed: None,
            prf: Digest::Sha1,
            cipher: Cipher::Aes128,
            tampered: false,
        }
    }

    /// The PasswordRecipientInfo for a content key.
    pub(super) fn recipient_info(&self, key: &[u8]) -> Result<Vec<u8>> {
        let (mut salt, mut iv) = ([0; 16], vec![0; self.cipher.openssl().block_size()]);
        rand_bytes(&mut salt)?;
        rand_bytes(&mut iv)?;
        let kek = derive(&self.text, &salt, self.iterations, self.prf, self.cipher)?;
        let block = iv.len();
        let mut padded = vec![0; (key.len() + 4).next_multiple_of(block).max(2 * block)];
        rand_bytes(&mut padded)?;
        let length = u8::try_from(key.len()).map_err(|_| Error::new("a long key"))?;
        let checks = key.iter().take(3).map(|b| !b);
        let head: Vec<u8> = std::iter::once(length).chain(checks).collect();
        padded[..4].copy_from_slice(&head);
        padded[4..4 + key.len()].copy_from_slice(key);
        let inner = blocks(self.cipher, Mode::Encrypt, &kek, &iv, &padded)?;
        let last = &inner[inner.len() - block..];
        let mut wrapped = blocks(self.cipher, Mode::Encrypt, &kek, last, &inner)?;
        if self.tampered {
            wrapped[0] ^= 1;
        }
        let mut parameters =
            vec![der::octets(&salt), der::int(self.claimed.unwrap_or(self.iterations))];
        if self.prf != Digest::Sha1 {
            parameters.push(identifier(hmac(self.prf)?, false));
        }
        let parameters = der::tlv(tag::SEQUENCE, &parameters.concat());
        let derivation = [der::oid(PBKDF2), parameters].concat();
        let cipher = der::seq(&[&der::oid(self.cipher.oid()), &der::octets(&iv)]);
        let encryption = der::seq(&[&der::oid(PWRI_KEK), &cipher]);
        let parts =
            [der::int(0), der::ctx(0, &derivation), encryption, der::octets(&wrapped)].concat();
        Ok(der::ctx(3, &parts))
    }
}

/// The content key of a reply's PasswordRecipientInfo, read strictly: PBKDF2 with HMAC-SHA-256 and
/// at least 10000 iterations.
pub(super) fn content_key(recipient: &[u8], password: &str) -> Result<Vec<u8>> {
    let mut reader = Reader(recipient);
    let mut info = reader.expect(0xa3, "PasswordRecipientInfo")?.inside();
    reader.end("PasswordRecipientInfo")?;
    if info.any()?.raw != der::int(0) {
        return fail("PasswordRecipientInfo is not version 0");
    }
    let mut derivation = info.expect(0xa0, "keyDerivationAlgorithm")?.inside();
    let mut encryption = info.expect(tag::SEQUENCE, "keyEncryptionAlgorithm")?.inside();
    let wrapped = info.expect(tag::OCTET_STRING, "encryptedKey")?.content;
    info.end("PasswordRecipientInfo")?;

    if derivation.any()?.raw != der::oid(PBKDF2) {
        return fail("the key derivation is not PBKDF2");
    }
    let mut parameters = derivation.expect(tag::SEQUENCE, "PBKDF2-params")?.inside();
    let salt = parameters.expect(tag::OCTET_STRING, "salt")?.content;
    let count = parameters.expect(tag::INTEGER, "iterationCount")?.content;
    let count = count.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    if salt.len() < 16 || !(10_000..=100_000).contains(&count) {
        return fail(format!("a salt of {} bytes and {count} iterations", salt.len()));
    }
    if parameters.any()?.raw != identifier(hmac(Digest::Sha256)?, false) {
        return fail("PBKDF2 is not with HMAC-SHA-256");
    }
    parameters.end("PBKDF2-params")?;

    if encryption.any()?.raw != der::oid(PWRI_KEK) {
        return fail("the key encryption is not PWRI-KEK");
    }
    let mut cipher = encryption.expect(tag::SEQUENCE, "cipher of PWRI-KEK")?.inside();
    let kind = Cipher::from_oid(cipher.any()?.raw);
    let kind = kind.ok_or_else(|| Error::new("an unknown cipher of PWRI-KEK"))?;
    let iv = cipher.expect(tag::OCTET_STRING, "IV of PWRI-KEK")?.content;
    let kek = derive(password, salt, count, Digest::Sha256, kind)?;

    let block = kind.openssl().block_size();
    if wrapped.len() < 2 * block || !wrapped.len().is_multiple_of(block) {
        return fail("the wrapped key is no whole number of blocks");
    }
    let (front, last) = wrapped.split_at(wrapped.len() - block);
    let last = blocks(kind, Mode::Decrypt, &kek, &front[front.len() - block..], last)?;
    let front = blocks(kind, Mode::Decrypt, &kek, &last, front)?;
    let padded = blocks(kind, Mode::Decrypt, &kek, iv, &[front, last].concat())?;
    let key = padded.get(4..4 + usize::from(padded[0])).unwrap_or_default();
    let checks: Vec<u8> = key.iter().take(3).map(|b| !b).collect();
    if checks.len() < 3 || padded[1..4] != checks {
        return fail("the password does not open the reply");
    }
    Ok(key.to_vec())
}

fn derive(
    password: &str,
    salt: &[u8],
    iterations: u64,
    prf: Digest,
    cipher: Cipher,
) -> Result<Vec<u8>> {
    let mut key = vec![0; cipher.openssl().key_len()];
    let iterations = usize::try_from(iterations).map_err(|_| Error::new("too many iterations"))?;
    pbkdf2_hmac(password.as_bytes(), salt, iterations, prf.openssl(), &mut key)?;
    Ok(key)
}

fn blocks(cipher: Cipher, mode: Mode, key: &[u8], iv: &[u8], input: &[u8]) -> Result<Vec<u8>> {
    let mut crypter = Crypter::new(cipher.openssl(), mode, key, Some(iv))?;
    crypter.pad(false);
    let mut out = vec![0; input.len() + iv.len()];
    let length = crypter.update(input, &mut out)?;
    out.truncate(length);
    Ok(out)
}

fn hmac(digest: Digest) -> Result<&'static str> {
    match digest {
        Digest::Md5 => fail("no HMAC-MD5 here"),
        Digest::Sha1 => Ok("1.2.840.113549.2.7"),
        Digest::Sha256 => Ok("1.2.840.113549.2.9"),
        Digest::Sha384 => Ok("1.2.840.113549.2.10"),
        Digest::Sha512 => Ok("1.2.840.113549.2.11"),
    }
}
