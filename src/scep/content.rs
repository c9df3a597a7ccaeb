//! What is inside the envelopes of polls and queries. The content of PKCSReq and RenewalReq is a
//! PKCS#10, which `pki` reads.

use crate::cms::{CmsError, Fields, read, tag};

/// The content of CertPoll (RFC 8894 section 3.3.3). It is advisory: clients send the names in
/// the wrong order, with other encodings, or as strings, and the transaction ID decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerAndSubject {
    names: Vec<Vec<u8>>,
}

impl IssuerAndSubject {
    /// Reads the content. Any SEQUENCE of two elements will do.
    pub fn from_der(der: &[u8]) -> Result<Self, CmsError> {
        let what = "IssuerAndSubject";
        let fields = read(der, what)?.expect(tag::SEQUENCE, what)?.fields(what)?;
        let names = fields.all(2, "names in IssuerAndSubject")?;
        if names.len() != 2 {
            return Err(CmsError::malformed("the IssuerAndSubject has not two names"));
        }
        Ok(Self { names: names.iter().map(|n| n.der.to_vec()).collect() })
    }

    /// Whether one of the two is this Name, byte for byte. No answer may hang on it.
    pub fn mentions(&self, name: &[u8]) -> bool {
        self.names.iter().any(|n| n == name)
    }
}

/// The content of GetCert and GetCRL (RFC 8894 sections 3.3.4 and 3.3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerAndSerialNumber {
    issuer: Vec<u8>,
    serial: Vec<u8>,
}

impl IssuerAndSerialNumber {
    /// Reads the content.
    pub fn from_der(der: &[u8]) -> Result<Self, CmsError> {
        let what = "IssuerAndSerialNumber";
        let mut fields: Fields<'_> = read(der, what)?.expect(tag::SEQUENCE, what)?.fields(what)?;
        let issuer = fields.expect(tag::SEQUENCE, what)?.der.to_vec();
        let serial = fields.expect(tag::INTEGER, what)?.content.to_vec();
        fields.finish(what)?;
        Ok(Self { issuer, serial })
    }

    /// The issuer's Name in DER, as it came.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    /// The content octets of the serial number.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cms::testing::{device, ra};
    use crate::cms::tlv;
    use proptest::prelude::*;

    #[test]
    fn row_087_quirk_54_the_names_in_any_order_and_form() {
        let (issuer, subject) = (ra().certificate.subject(), device().certificate.subject());
        for (a, b) in [(issuer, subject), (subject, issuer)] {
            let read = IssuerAndSubject::from_der(&tlv(tag::SEQUENCE, &[a, b])).unwrap();
            assert!(read.mentions(issuer) && read.mentions(subject));
            assert!(!read.mentions(&[0x30, 0]));
        }
        let text = tlv(tag::PRINTABLE_STRING, &[b"CN=CA"]);
        let read = IssuerAndSubject::from_der(&tlv(tag::SEQUENCE, &[&text, subject])).unwrap();
        assert!(read.mentions(subject));
        for parts in [vec![], vec![issuer], vec![issuer, subject, issuer]] {
            assert!(IssuerAndSubject::from_der(&tlv(tag::SEQUENCE, &parts)).is_err());
        }
    }

    #[test]
    fn row_098_issuer_and_serial() {
        let issuer = ra().certificate.subject();
        for serial in [vec![1], vec![0xff; 33], vec![0, 0x80]] {
            let der = tlv(tag::SEQUENCE, &[issuer, &tlv(tag::INTEGER, &[&serial])]);
            let read = IssuerAndSerialNumber::from_der(&der).unwrap();
            assert_eq!((read.issuer(), read.serial()), (issuer, serial.as_slice()));
            assert!(IssuerAndSerialNumber::from_der(&[der.as_slice(), &[0]].concat()).is_err());
        }
        assert!(IssuerAndSerialNumber::from_der(&tlv(tag::SEQUENCE, &[issuer])).is_err());
        let reversed = tlv(tag::SEQUENCE, &[&[tag::INTEGER, 1, 1], issuer]);
        assert!(IssuerAndSerialNumber::from_der(&reversed).is_err());
    }

    proptest! {
        #[test]
        fn t20_random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = IssuerAndSubject::from_der(&bytes);
            let _ = IssuerAndSerialNumber::from_der(&bytes);
        }
    }
}
