//! Randomness as an argument: serials, nonces and content keys are drawn from a [`Random`].

/// The source of random bytes failed; nothing that needs them may go on.
#[derive(Debug, thiserror::Error)]
#[error(
    "the random number generator failed ({0}); restart the service and check the host's entropy source"
)]
pub struct RandomError(pub String);

/// A cryptographically secure source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `buffer` whole, or fails.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError>;
}

/// `N` random bytes from `random`.
pub fn bytes<const N: usize>(random: &dyn Random) -> Result<[u8; N], RandomError> {
    let mut out = [0; N];
    random.fill(&mut out)?;
    Ok(out)
}

/// OpenSSL's generator, seeded by the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        openssl::rand::rand_bytes(buffer).map_err(|e| RandomError(e.to_string()))
    }
}
