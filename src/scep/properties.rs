//! What holds for every message, whatever is in it: it reads back as it was written, and no damage makes
//! another message of it.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::attributes::{
    FAIL_INFO, FAIL_INFO_TEXT, MESSAGE_TYPE, PKI_STATUS, RECIPIENT_NONCE, SENDER_NONCE,
    TRANSACTION_ID,
};
use super::testing::{csr, envelope, text_attribute};
use super::{
    AlgorithmPolicy, CertRep, FailInfo, IssuerAndSerialNumber, IssuerAndSubject, Limits,
    MessageType, SignedRequest,
};
use crate::cms::testing::{Counting, Identity, Message, device, ra};
use crate::cms::{
    Attribute, Cipher, EnvelopedData, KeyTransport, Recipient, SignedData, tag, tlv, unpad,
};
use crate::pki::Digest;
use crate::secret::Secret;

/// A request as a device might make it.
#[derive(Clone, Debug)]
struct Asked {
    kind: (&'static str, MessageType),
    string_type: u8,
    id: String,
    nonce: Vec<u8>,
    cipher: Cipher,
    transport: KeyTransport,
    digest: Digest,
    serial: Vec<u8>,
}

prop_compose! {
    fn asked()(
        kind in select(vec![
            ("17", MessageType::RenewalReq), ("19", MessageType::PkcsReq), ("20", MessageType::CertPoll),
            ("21", MessageType::GetCert), ("22", MessageType::GetCrl),
        ]),
        string_type in select(vec![tag::PRINTABLE_STRING, tag::UTF8_STRING, tag::IA5_STRING, tag::OCTET_STRING]),
        id in "[A-Za-z0-9+/=]{1,200}",
        nonce in prop::collection::vec(any::<u8>(), 1..=64),
        cipher in select(vec![Cipher::Aes128Cbc, Cipher::Aes192Cbc, Cipher::Aes256Cbc]),
        transport in select(vec![
            KeyTransport::RsaPkcs1v15, KeyTransport::RsaOaep(Digest::Sha1), KeyTransport::RsaOaep(Digest::Sha256),
        ]),
        digest in select(vec![Digest::Sha256, Digest::Sha384, Digest::Sha512]),
        serial in prop::collection::vec(any::<u8>(), 1..=33),
    ) -> Asked {
        Asked { kind, string_type, id, nonce, cipher, transport, digest, serial }
    }
}

impl Asked {
    /// What the envelope holds.
    fn content(&self) -> Vec<u8> {
        let (issuer, subject) = (ra().certificate.subject(), device().certificate.subject());
        match self.kind.1 {
            MessageType::PkcsReq | MessageType::RenewalReq => csr(device()),
            MessageType::CertPoll => tlv(tag::SEQUENCE, &[issuer, subject]),
            _ => tlv(tag::SEQUENCE, &[issuer, &tlv(tag::INTEGER, &[&self.serial])]),
        }
    }

    fn id_der(&self) -> Vec<u8> {
        tlv(self.string_type, &[self.id.as_bytes()])
    }

    fn build(&self) -> Vec<u8> {
        let envelope = envelope(&self.content(), self.cipher, self.transport);
        let message = Message::new(device(), envelope).with(|m| {
            m.attributes = vec![
                text_attribute(MESSAGE_TYPE, tag::PRINTABLE_STRING, self.kind.0),
                Attribute::new(TRANSACTION_ID, self.id_der()),
                Attribute::new(SENDER_NONCE, tlv(tag::OCTET_STRING, &[&self.nonce])),
            ];
        });
        message.with_digest(self.digest).build()
    }
}

fn parse(message: &[u8]) -> Option<SignedRequest> {
    SignedRequest::parse(message, &Limits::default()).ok()
}

/// Everything that a request says.
fn meaning(request: &SignedRequest) -> String {
    let (kind, id) = (request.message_type(), request.transaction_id().as_bytes().to_vec());
    let nonce = request.sender_nonce().map(|n| n.as_bytes().to_vec());
    let key = request.signer().public_key().fingerprint();
    format!("{kind:?} {id:?} {nonce:?} {key:?} {:?} {:?}", request.digest(), request.envelope())
}

/// The content key by the private key of `to`.
fn content_key(to: &Identity, encrypted: &[u8], transport: KeyTransport, len: usize) -> Secret {
    let (em, substitute) = (to.raw_rsa(encrypted), Secret::new(vec![0x77; len]));
    match transport {
        KeyTransport::RsaPkcs1v15 => unpad::pkcs1_v15(&em, len, &substitute),
        KeyTransport::RsaOaep(digest) => unpad::oaep(&em, digest, len, &substitute).unwrap(),
    }
}

fn opened(request: &SignedRequest) -> Vec<u8> {
    let ra = ra();
    let ours = request.recipient(&[&ra.certificate], &AlgorithmPolicy::default()).unwrap();
    let key = content_key(ra, ours.encrypted_key, ours.transport, ours.key_len);
    request.open(&key).read(|der| Ok::<_, String>(der.to_vec())).unwrap()
}

/// A reply as the server might make it.
#[derive(Clone, Debug)]
enum Said {
    Granted,
    Listed(Vec<u8>),
    Refused(FailInfo, Option<String>),
    Waits,
}

fn said() -> impl Strategy<Value = Said> {
    let reasons = select(vec![
        FailInfo::BadAlg,
        FailInfo::BadMessageCheck,
        FailInfo::BadRequest,
        FailInfo::BadTime,
        FailInfo::BadCertId,
    ]);
    prop_oneof![
        Just(Said::Granted),
        // A CRL is carried as it is, whatever is in it.
        prop::collection::vec(any::<u8>(), 0..400).prop_map(|list| Said::Listed(tlv(
            tag::SEQUENCE,
            &[&tlv(tag::OCTET_STRING, &[&list])]
        ))),
        (reasons, prop::option::of("\\PC{1,80}")).prop_map(|(why, text)| Said::Refused(why, text)),
        Just(Said::Waits),
    ]
}

impl Said {
    fn build(&self, asked: &[u8]) -> Vec<u8> {
        let request = parse(asked).unwrap();
        let (context, policy) = (request.reply_context(), AlgorithmPolicy::default());
        let random = Counting::new();
        let reply = match self {
            Self::Granted => {
                CertRep::success(context, &[&device().certificate], None, &policy, &random)
            }
            Self::Listed(crl) => CertRep::crl(context, crl, &policy, &random),
            Self::Refused(why, text) => {
                CertRep::failure(context, *why, text.as_deref(), &policy, &random)
            }
            Self::Waits => CertRep::pending(context, &policy, &random),
        };
        let reply = reply.unwrap();
        let algorithm = reply.signature_algorithm(ra().kind());
        reply.assemble(&ra().sign(algorithm, reply.to_be_signed()), &ra().certificate)
    }
}

/// The values of the attributes in a fixed order, and the content.
type Learnt = (Vec<Option<Vec<u8>>>, Option<Vec<u8>>);

/// What a client learns from a reply whose signature holds: attributes and content.
fn learnt(reply: &[u8]) -> Option<Learnt> {
    let signed = SignedData::from_ber(reply, &crate::cms::Limits::default()).ok()?;
    // A client knows the RA's key from GetCACert and trusts no other.
    let key = ra().certificate.public_key();
    let info = signed.signer()?;
    info.verify(signed.content_type(), signed.content().unwrap_or_default(), key).ok()?;
    let all =
        [TRANSACTION_ID, RECIPIENT_NONCE, MESSAGE_TYPE, PKI_STATUS, FAIL_INFO, FAIL_INFO_TEXT];
    let value = |oid| info.attribute(oid, "attribute").ok().flatten().map(<[u8]>::to_vec);
    Some((all.map(value).to_vec(), signed.content().map(<[u8]>::to_vec)))
}

/// The certificates and CRLs in a SUCCESS, by the device's key.
fn granted(content: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let envelope = EnvelopedData::from_ber(content, &crate::cms::Limits::default()).unwrap();
    let [Recipient::KeyTransport(recipient)] = envelope.recipients() else {
        panic!("one recipient")
    };
    let crate::cms::ContentCipher::Known(cipher, _) = envelope.cipher() else { panic!("a cipher") };
    let transport = recipient.transport().unwrap();
    let key = content_key(device(), recipient.encrypted_key(), transport, cipher.key_len());
    let bag = envelope.open(&key).read(|der| Ok::<_, String>(der.to_vec())).unwrap();
    let bag = SignedData::from_ber(&bag, &crate::cms::Limits::default()).unwrap();
    (bag.certificates().to_vec(), bag.crls().to_vec())
}

/// The message cut short, or with one bit turned.
fn damaged(message: &[u8], at: Index, bit: u8, cut: bool) -> Vec<u8> {
    let at = at.index(message.len());
    if cut {
        return message[..at].to_vec();
    }
    let mut changed = message.to_vec();
    changed[at] ^= 1 << bit;
    changed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_reads_back_as_it_was_written(asked in asked()) {
        let request = parse(&asked.build()).unwrap();
        prop_assert_eq!(request.message_type(), asked.kind.1);
        prop_assert_eq!(request.transaction_id().as_bytes(), asked.id.as_bytes());
        prop_assert_eq!(request.sender_nonce().unwrap().as_bytes(), asked.nonce.as_slice());
        prop_assert_eq!(request.digest(), asked.digest);
        let content = opened(&request);
        prop_assert_eq!(&content, &asked.content());
        match asked.kind.1 {
            MessageType::CertPoll => {
                let names = IssuerAndSubject::from_der(&content).unwrap();
                prop_assert!(names.mentions(device().certificate.subject()));
            }
            MessageType::GetCert | MessageType::GetCrl => {
                let named = IssuerAndSerialNumber::from_der(&content).unwrap();
                prop_assert_eq!(named.serial(), asked.serial.as_slice());
            }
            _ => {}
        }
    }

    #[test]
    fn every_reply_reads_back_as_it_was_written(asked in asked(), said in said()) {
        let (attributes, content) = learnt(&said.build(&asked.build())).unwrap();
        let printable = |text: &str| Some(tlv(tag::PRINTABLE_STRING, &[text.as_bytes()]));
        prop_assert_eq!(&attributes[0], &Some(asked.id_der()));
        prop_assert_eq!(&attributes[1], &Some(tlv(tag::OCTET_STRING, &[&asked.nonce])));
        prop_assert_eq!(&attributes[2], &printable("3"));
        let (status, fail_info, text) = match &said {
            Said::Granted | Said::Listed(_) => ("0", None, None),
            Said::Waits => ("3", None, None),
            Said::Refused(why, text) => ("2", printable(why.as_str()), text.clone()),
        };
        prop_assert_eq!(&attributes[3], &printable(status));
        prop_assert_eq!(&attributes[4], &fail_info);
        prop_assert_eq!(&attributes[5], &text.map(|t| tlv(tag::UTF8_STRING, &[t.as_bytes()])));
        match said {
            Said::Granted => {
                let (certificates, crls) = granted(&content.unwrap());
                prop_assert_eq!(certificates, [device().certificate.der()]);
                prop_assert!(crls.is_empty());
            }
            Said::Listed(crl) => {
                prop_assert_eq!(granted(&content.unwrap()), (Vec::new(), vec![crl]));
            }
            _ => prop_assert_eq!(content, None),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn t20_no_damage_makes_another_request(asked in asked(), at: Index, bit in 0u8..8, cut: bool) {
        let message = asked.build();
        let original = parse(&message).expect("the control: it is sound before");
        if let Some(request) = parse(&damaged(&message, at, bit, cut)) {
            prop_assert!(!cut, "a part of it was taken for the whole");
            prop_assert_eq!(meaning(&request), meaning(&original));
        }
    }

    #[test]
    fn t20_no_damage_makes_another_reply(
        asked in asked(), said in said(), at: Index, bit in 0u8..8, cut: bool
    ) {
        let message = said.build(&asked.build());
        let original = learnt(&message).expect("the control: it is sound before");
        if let Some(other) = learnt(&damaged(&message, at, bit, cut)) {
            prop_assert!(!cut, "a part of it was taken for the whole");
            prop_assert_eq!(other, original);
        }
    }
}
