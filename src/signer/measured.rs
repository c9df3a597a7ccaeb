//! Keys whose uses are counted and timed.

use std::sync::Arc;
use std::time::Instant;

use super::authority::Authority;
use crate::cms::KeyTransport;
use crate::pki::{PublicKey, SignatureAlgorithm};
use crate::secret::Secret;
use crate::signing::{BoxFuture, KeyUnwrapper, KeyUseError, Signer};
use crate::telemetry::metrics::SignerMetrics;

impl Authority {
    /// The same CA, with every use of its three keys counted.
    pub(super) fn measured(self, metrics: &Arc<SignerMetrics>) -> Self {
        let ca: Arc<str> = self.issuer.id().into();
        let meter = |operation| Meter { ca: ca.clone(), operation, metrics: metrics.clone() };
        Self {
            signer: Arc::new(MeasuredSigner(meter("ca-sign"), self.signer)),
            unwrapper: Arc::new(MeasuredUnwrapper(meter("ra-decrypt"), self.unwrapper)),
            ra_signer: Arc::new(MeasuredSigner(meter("ra-sign"), self.ra_signer)),
            ..self
        }
    }
}

/// Where the uses of one key are counted.
struct Meter {
    ca: Arc<str>,
    operation: &'static str,
    metrics: Arc<SignerMetrics>,
}

impl Meter {
    async fn count<T>(
        &self,
        operation: impl Future<Output = Result<T, KeyUseError>> + Send,
    ) -> Result<T, KeyUseError> {
        let began = Instant::now();
        let result = operation.await;
        match &result {
            Ok(_) => self.metrics.key_used(&self.ca, self.operation, began.elapsed()),
            Err(e) => self.metrics.key_failed(&self.ca, self.operation, cause(e)),
        }
        result
    }
}

const fn cause(error: &KeyUseError) -> &'static str {
    match error {
        KeyUseError::Unavailable(_) => "unavailable",
        KeyUseError::Refused(_) => "refused",
        KeyUseError::BadSignature => "bad-signature",
    }
}

struct MeasuredSigner(Meter, Arc<dyn Signer>);

impl Signer for MeasuredSigner {
    fn public_key(&self) -> &PublicKey {
        self.1.public_key()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.1.algorithm()
    }

    fn sign(&self, message: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        Box::pin(self.0.count(self.1.sign(message)))
    }

    fn sign_with(
        &self,
        algorithm: SignatureAlgorithm,
        message: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, KeyUseError>> {
        Box::pin(self.0.count(self.1.sign_with(algorithm, message)))
    }
}

struct MeasuredUnwrapper(Meter, Arc<dyn KeyUnwrapper>);

impl KeyUnwrapper for MeasuredUnwrapper {
    fn public_key(&self) -> &PublicKey {
        self.1.public_key()
    }

    fn unwrap(
        &self,
        transport: KeyTransport,
        encrypted_key: Vec<u8>,
        key_len: usize,
    ) -> BoxFuture<'_, Result<Secret, KeyUseError>> {
        Box::pin(self.0.count(self.1.unwrap(transport, encrypted_key, key_len)))
    }
}
