//! Tests of issuance: certificates from our own CA, judged by OpenSSL and GnuTLS.

mod fixtures;

mod bootstrap;
mod crl;
mod issued;
mod lint;
mod wild;
