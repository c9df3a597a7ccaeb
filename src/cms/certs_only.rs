//! Degenerate SignedData: certificates or CRLs with nobody's signature (RFC 8894 section 3.4).

use super::asn1::{set_of, tag, tlv};
use super::sign::signed_data;
use crate::pki::Certificate;

/// A certs-only message with these certificates in this order. The content is left out and the
/// sets of digests and signers are empty (docs/scep.md row 31).
pub fn certs_only(certificates: &[&Certificate]) -> Vec<u8> {
    let certificates: Vec<&[u8]> = certificates.iter().map(|c| c.der()).collect();
    // By DER a SET OF is sorted; here the order is kept, because clients take the first
    // certificate for theirs (RFC 8894 section 3.4 wants the leaf to be found easily).
    signed_data(&empty(), None, &tlv(tag::CONTEXT_0, &certificates), &empty())
}

/// A message with one CRL and no certificates: the content of a GetCRL reply (docs/scep.md row 99).
pub fn crl_only(crl: &[u8]) -> Vec<u8> {
    signed_data(&empty(), None, &tlv(tag::CONTEXT_1, &[crl]), &empty())
}

fn empty() -> Vec<u8> {
    set_of(tag::SET, vec![])
}
