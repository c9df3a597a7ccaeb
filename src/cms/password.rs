//! A content key under a password: PasswordRecipientInfo (RFC 5652 section 6.2.4), PBKDF2 (RFC 8018
//! section 5.2) and PWRI-KEK (RFC 3211 section 2.3). By hand: OpenSSL has them behind the private
//! key's API only, says whether a password was wrong, and bounds no iteration count.

use const_oid::ObjectIdentifier;
use openssl::error::ErrorStack;
use openssl::pkcs5::pbkdf2_hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::algorithm::{AlgorithmIdentifier, identifier, identifier_with_null};
use super::asn1::{Element, read, tag, tlv};
use super::unpad::{implicit_rejection, select};
use super::{Cipher, CmsError};
use crate::pki::Digest;
use crate::random::{self, Random};
use crate::secret::Secret;

/// id-PBKDF2 (RFC 8018 appendix A.2).
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
/// id-alg-PWRI-KEK (RFC 3211 section 2.3).
const PWRI_KEK: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.3.9");

/// The most iterations that a message may ask for: what one derivation can cost is bounded.
pub const MAX_ITERATIONS: u32 = 100_000;
/// The iterations of what is sealed here. The passwords are 192 random bits, which nobody guesses,
/// however fast a guess is; the count is there for form.
pub const OWN_ITERATIONS: u32 = 10_000;
/// The pseudo-random function of what is sealed here.
const OWN_PRF: Digest = Digest::Sha256;
/// The longest salt that is read, in bytes.
const MAX_SALT: usize = 64;
/// The longest wrapped key that is read, in bytes.
const MAX_WRAPPED: usize = 128;
/// What stands before the key in the block that is wrapped: its length and three check octets.
const HEADER: usize = 4;

/// A content key that a password opens. Reading it checks every bound and derives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordRecipient {
    prf: Digest,
    salt: Vec<u8>,
    iterations: u32,
    cipher: Cipher,
    iv: Vec<u8>,
    encrypted_key: Vec<u8>,
}

impl PasswordRecipient {
    /// Reads a RecipientInfo `[3]` in DER. The key derivation must be PBKDF2 and there, the key
    /// encryption PWRI-KEK with one of our content ciphers.
    pub fn from_der(der: &[u8]) -> Result<Self, CmsError> {
        let what = "PasswordRecipientInfo";
        let mut fields = read(der, what)?.expect(tag::CONTEXT_3, what)?.fields(what)?;
        fields.expect(tag::INTEGER, "version of the PasswordRecipientInfo")?;
        let Some(derivation) = fields.optional(tag::CONTEXT_0, "keyDerivationAlgorithm")? else {
            return Err(CmsError::malformed("the keyDerivationAlgorithm is missing"));
        };
        let encryption = AlgorithmIdentifier::read(fields.next(what)?, "keyEncryptionAlgorithm")?;
        let encrypted_key = fields.expect(tag::OCTET_STRING, "encryptedKey")?.content.to_vec();
        fields.finish(what)?;

        let (cipher, iv) = key_encryption(&encryption)?;
        let blocks = encrypted_key.len() / cipher.block_len();
        if !encrypted_key.len().is_multiple_of(cipher.block_len())
            || blocks < 2
            || encrypted_key.len() > MAX_WRAPPED
        {
            return Err(CmsError::malformed(
                "the encryptedKey has not the length of a wrapped key",
            ));
        }
        let (prf, salt, iterations) = key_derivation(derivation, cipher)?;
        Ok(Self { prf, salt, iterations, cipher, iv, encrypted_key })
    }

    /// How many iterations the derivation takes; [`MAX_ITERATIONS`] at most.
    pub const fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The cipher that wraps the content key.
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The content key of `key_len` bytes under `password`, by one derivation that can take some
    /// tenths of a second. Where the password is wrong the key is a substitute that nobody can tell
    /// from a real one (I7); the error is OpenSSL's refusal, whatever the password is.
    pub fn content_key(&self, password: &Secret, key_len: usize) -> Result<Secret, ErrorStack> {
        let kek = derive(password, self.prf, &self.salt, self.iterations, self.cipher)?;
        let substitute = implicit_rejection(&kek, &self.encrypted_key, key_len)?;
        let block_len = self.cipher.block_len();
        // The inner encryption's last block was the outer one's initialisation vector.
        let (front, last) = self.encrypted_key.split_at(self.encrypted_key.len() - block_len);
        let chained = &front[front.len() - block_len..];
        let last = self.cipher.decrypt(&kek, chained, last)?;
        let inner = self.cipher.decrypt(&kek, &last, front)?;
        let inner = Zeroizing::new([inner.as_slice(), &last].concat());
        let block = self.cipher.decrypt(&kek, &self.iv, &inner)?;
        let Some(key) = block.get(HEADER..HEADER + key_len) else { return Ok(substitute) };
        let mut good = block[0].ct_eq(&u8::try_from(key_len).unwrap_or_default());
        for (check, octet) in block[1..HEADER].iter().zip(key) {
            good &= check.ct_eq(&!octet);
        }
        Ok(select(good, key, &substitute))
    }
}

/// A key made from a password, fresh for one envelope.
pub struct PasswordKey {
    key: Secret,
    salt: [u8; 16],
    cipher: Cipher,
}

impl PasswordKey {
    /// Derives a key for `cipher` by [`OWN_ITERATIONS`] of PBKDF2 with HMAC-SHA-256, which takes
    /// some milliseconds.
    pub fn derive(
        password: &Secret,
        cipher: Cipher,
        random: &dyn Random,
    ) -> Result<Self, CmsError> {
        let salt = random::bytes(random)?;
        let key = derive(password, OWN_PRF, &salt, OWN_ITERATIONS, cipher)?;
        Ok(Self { key, salt, cipher })
    }

    /// The PasswordRecipientInfo for a content key, `[3]` in DER.
    pub(super) fn recipient_info(
        &self,
        content_key: &Secret,
        random: &dyn Random,
    ) -> Result<Vec<u8>, CmsError> {
        let mut iv = vec![0; self.cipher.block_len()];
        random.fill(&mut iv)?;
        let wrapped = wrap(self.cipher, &self.key, &iv, content_key, random)?;
        let count = OWN_ITERATIONS.to_be_bytes();
        let count = &count[count.iter().take_while(|b| **b == 0).count()..];
        // hmacWithSHA1 is the default and would be left out.
        let prf = identifier_with_null(hmac_oid(OWN_PRF));
        let derivation = tlv(
            tag::SEQUENCE,
            &[&tlv(tag::OCTET_STRING, &[&self.salt]), &tlv(tag::INTEGER, &[count]), &prf],
        );
        let cipher = identifier(self.cipher.oid(), &tlv(tag::OCTET_STRING, &[&iv]));
        Ok(tlv(
            tag::CONTEXT_3,
            &[
                &[tag::INTEGER, 1, 0],
                &tlv(tag::CONTEXT_0, &[&tlv(tag::OID, &[PBKDF2.as_bytes()]), &derivation]),
                &identifier(PWRI_KEK, &cipher),
                &tlv(tag::OCTET_STRING, &[&wrapped]),
            ],
        ))
    }
}

impl std::fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordKey(..)")
    }
}

/// RFC 3211 section 2.3.1: the key with its header and random padding, encrypted twice.
fn wrap(
    cipher: Cipher,
    kek: &Secret,
    iv: &[u8],
    content_key: &Secret,
    random: &dyn Random,
) -> Result<Vec<u8>, CmsError> {
    let key = content_key.expose();
    let block_len = cipher.block_len();
    let len = (HEADER + key.len()).next_multiple_of(block_len).max(2 * block_len);
    let mut block = Zeroizing::new(vec![0; len]);
    random.fill(&mut block[HEADER + key.len()..])?;
    block[0] = u8::try_from(key.len()).map_err(|_| CmsError::malformed("a key of 256 bytes"))?;
    for (check, octet) in block[1..HEADER].iter_mut().zip(key) {
        *check = !octet;
    }
    block[HEADER..HEADER + key.len()].copy_from_slice(key);
    let inner = cipher.encrypt_blocks(kek, iv, &block)?;
    Ok(cipher.encrypt_blocks(kek, &inner[len - block_len..], &inner)?.to_vec())
}

fn derive(
    password: &Secret,
    prf: Digest,
    salt: &[u8],
    iterations: u32,
    cipher: Cipher,
) -> Result<Secret, ErrorStack> {
    let mut key = Zeroizing::new(vec![0; cipher.key_len()]);
    pbkdf2_hmac(password.expose(), salt, iterations as usize, prf.openssl(), &mut key)?;
    Ok(Secret::new(key.to_vec()))
}

/// The cipher and IV inside PWRI-KEK's identifier.
fn key_encryption(algorithm: &AlgorithmIdentifier) -> Result<(Cipher, Vec<u8>), CmsError> {
    let unknown = |oid: ObjectIdentifier| CmsError::UnknownAlgorithm {
        purpose: "the encryption of a content key by",
        oid: oid.to_string(),
    };
    if algorithm.oid != PWRI_KEK {
        return Err(unknown(algorithm.oid));
    }
    let what = "cipher of PWRI-KEK";
    let inner = algorithm.parameters.as_deref().unwrap_or_default();
    let inner = AlgorithmIdentifier::read(read(inner, what)?, what)?;
    let cipher = Cipher::from_oid(inner.oid).ok_or_else(|| unknown(inner.oid))?;
    let what = "IV of PWRI-KEK";
    let iv = inner.parameters.unwrap_or_default();
    let iv = read(&iv, what)?.expect(tag::OCTET_STRING, what)?.content;
    match iv.len() == cipher.block_len() {
        true => Ok((cipher, iv.to_vec())),
        false => Err(CmsError::Malformed(format!("the {what} has {} bytes", iv.len()))),
    }
}

/// Pseudo-random function, salt and iterations of PBKDF2-params.
fn key_derivation(
    derivation: Element<'_>,
    cipher: Cipher,
) -> Result<(Digest, Vec<u8>, u32), CmsError> {
    let what = "keyDerivationAlgorithm";
    let unknown = |oid: ObjectIdentifier| CmsError::UnknownAlgorithm {
        purpose: "the derivation of a key from a password by",
        oid: oid.to_string(),
    };
    let mut fields = derivation.fields(what)?;
    let algorithm = AlgorithmIdentifier::read_fields(&mut fields, what)?;
    fields.finish(what)?;
    if algorithm.oid != PBKDF2 {
        return Err(unknown(algorithm.oid));
    }
    let what = "PBKDF2-params";
    let parameters = algorithm.parameters.unwrap_or_default();
    let mut fields = read(&parameters, what)?.expect(tag::SEQUENCE, what)?.fields(what)?;
    let salt = fields.expect(tag::OCTET_STRING, "salt")?.content.to_vec();
    if salt.is_empty() || salt.len() > MAX_SALT {
        return Err(CmsError::Malformed(format!("the salt has {} bytes", salt.len())));
    }
    let iterations = number(fields.expect(tag::INTEGER, "iterationCount")?, "iterationCount")?;
    if let Some(len) = fields.optional(tag::INTEGER, "keyLength")?
        && number(len, "keyLength")? as usize != cipher.key_len()
    {
        return Err(CmsError::malformed("the keyLength is not that of the cipher"));
    }
    let prf = match fields.optional(tag::SEQUENCE, "prf")? {
        None => Digest::Sha1,
        Some(element) => {
            let prf = AlgorithmIdentifier::read(element, "prf")?;
            let known = [Digest::Sha1, Digest::Sha256, Digest::Sha384, Digest::Sha512];
            let found = known.into_iter().find(|d| hmac_oid(*d) == prf.oid);
            found.filter(|_| prf.has_no_parameters()).ok_or_else(|| unknown(prf.oid))?
        }
    };
    fields.finish(what)?;
    Ok((prf, salt, iterations))
}

/// A number between 1 and [`MAX_ITERATIONS`].
fn number(element: Element<'_>, what: &str) -> Result<u32, CmsError> {
    let too_many = CmsError::TooMany {
        what: "iterations of a password's derivation",
        limit: MAX_ITERATIONS as usize,
    };
    match element.content {
        [] => Err(CmsError::Malformed(format!("the {what} is empty"))),
        [first, ..] if first & 0x80 != 0 => {
            Err(CmsError::Malformed(format!("the {what} is negative")))
        }
        octets if octets.len() > 4 => Err(too_many),
        octets => match octets.iter().fold(0, |n, octet| n << 8 | u32::from(*octet)) {
            0 => Err(CmsError::Malformed(format!("the {what} is zero"))),
            n if n > MAX_ITERATIONS => Err(too_many),
            n => Ok(n),
        },
    }
}

/// hmacWithSHA1 and so on (RFC 8018 appendix B.1). The SHA-1 in it is no signature's: it is PBKDF2's
/// default, which OpenSSL's `cms` uses, and needs no switch.
fn hmac_oid(digest: Digest) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(match digest {
        Digest::Md5 => "1.2.840.113549.2.6",
        Digest::Sha1 => "1.2.840.113549.2.7",
        Digest::Sha256 => "1.2.840.113549.2.9",
        Digest::Sha384 => "1.2.840.113549.2.10",
        Digest::Sha512 => "1.2.840.113549.2.11",
    })
}

#[cfg(test)]
mod tests;
