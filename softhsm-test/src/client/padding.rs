//! Signatures of RSA whose padding (RFC 8017 section 9.2) a lax verifier takes for right.

use openssl::bn::{BigNum, BigNumContext};
use openssl::hash::hash;
use openssl::rsa::Padding as Raw;

use super::algorithms::{Digest, identifier};
use super::der;
use super::keys::Key;
use crate::error::{Context, Result, fail};

/// What is wrong with the padded block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Nothing: the control of the others.
    Right,
    /// Eight octets of FF and no more; what lies behind the DigestInfo fills the block.
    FilledBehind,
    /// An octet in the filling is not FF.
    Filling,
    /// Block type 2, that of encryption.
    Encryption,
    /// The digest's parameters hold octets instead of NULL.
    Parameters,
    /// An octet behind the digest, inside of the DigestInfo.
    DigestInfo,
    /// As [`Self::FilledBehind`], and made without the private key: the octets behind make the block near
    /// enough to a cube. For keys with the public exponent 3.
    CubeRoot,
}

impl Padding {
    /// `key`'s signature over `message` with this padding.
    pub fn sign(self, key: &Key, digest: Digest, message: &[u8]) -> Result<Vec<u8>> {
        let rsa = key.rsa()?;
        let size = usize::try_from(rsa.size()).context("the size of the key")?;
        let block = self.block(&hash(digest.openssl(), message)?, digest, size);
        if self == Self::CubeRoot {
            return cube_root(&block, size);
        }
        let mut signature = vec![0; size];
        rsa.private_encrypt(&block, &mut signature, Raw::NONE)?;
        Ok(signature)
    }

    fn block(self, value: &[u8], digest: Digest, size: usize) -> Vec<u8> {
        let algorithm = match self {
            Self::Parameters => der::seq(&[&der::oid(digest.oid()), &der::octets(&[0; 8])]),
            _ => identifier(digest.oid(), false),
        };
        let more: &[u8] = if self == Self::DigestInfo { &der::null() } else { &[] };
        let info = der::seq(&[&algorithm, &der::octets(value), more]);
        let kind = if self == Self::Encryption { 2 } else { 1 };
        let behind = matches!(self, Self::FilledBehind | Self::CubeRoot);
        let filling = if behind { 8 } else { size - 3 - info.len() };
        let mut block = vec![0, kind];
        block.resize(2 + filling, 0xff);
        block.push(0);
        block.extend(info);
        // The largest of them: its root is rounded down.
        block.resize(size, 0xff);
        if self == Self::Filling {
            block[2 + filling / 2] = 0xfe;
        }
        block
    }
}

/// The largest number whose cube is no more than `block`; fails where that cube does not begin as the block
/// does up to its DigestInfo.
fn cube_root(block: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut context = BigNumContext::new()?;
    let wanted = BigNum::from_slice(block)?;
    let mut root = BigNum::new()?;
    let (mut square, mut cube) = (BigNum::new()?, BigNum::new()?);
    for bit in (0..=wanted.num_bits() / 3).rev() {
        root.set_bit(bit)?;
        square.sqr(&root, &mut context)?;
        cube.checked_mul(&square, &root, &mut context)?;
        if cube > wanted {
            root.clear_bit(bit)?;
        }
    }
    square.sqr(&root, &mut context)?;
    cube.checked_mul(&square, &root, &mut context)?;
    let padded = i32::try_from(size).context("the size of the key")?;
    let begins = block.len() - block.iter().rev().take_while(|b| **b == 0xff).count();
    if cube.to_vec_padded(padded)?[..begins] != block[..begins] {
        return fail("the key is too small for a forged cube");
    }
    Ok(root.to_vec_padded(padded)?)
}
