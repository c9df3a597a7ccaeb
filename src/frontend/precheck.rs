//! The first reading of a message, so that rubbish is answered without waking the signer.
//!
//! What a signed reply can be made to goes on, right or wrong: the FAILURE is the signer's to sign.
//! The signer trusts nothing of this and reads the message again.

use bytes::Bytes;

use crate::scep::transport::{TransportError, decode_get_message, decode_post_body};
use crate::scep::{Limits, SignedRequest};

/// A message as HTTP carries it.
#[derive(Debug)]
pub(super) enum Carried {
    /// The value of the parameter `message`, as it stands in the URL.
    Get(String),
    /// The body of a POST.
    Post(Bytes),
}

/// A message that the signer can answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its bytes, free of base64.
    pub(super) bytes: Vec<u8>,
    /// The transaction ID, printable.
    pub(super) transaction: String,
}

/// Why nothing but an HTTP error can be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// More bytes than are taken.
    TooLong,
    /// Not a message, or not enough of one; the text is fit for the client.
    Rubbish(String),
}

/// Reads a message of at most `limit` bytes.
pub(super) fn read(carried: Carried, limit: usize) -> Result<Message, Unreadable> {
    let bytes = match &carried {
        Carried::Get(value) => decode_get_message(value, limit),
        Carried::Post(body) => decode_post_body(body, limit).map(std::borrow::Cow::into_owned),
    };
    let bytes = bytes.map_err(|e| match e {
        TransportError::TooLong(_) => Unreadable::TooLong,
        TransportError::Empty | TransportError::NotBase64 => Unreadable::Rubbish(e.to_string()),
    })?;
    let transaction = match SignedRequest::parse(&bytes, &Limits::default()) {
        Ok(request) => request.transaction_id().to_string(),
        Err(refused) => match refused.reply {
            Some(reply) => reply.transaction_id().to_string(),
            None => return Err(Unreadable::Rubbish(refused.text)),
        },
    };
    Ok(Message { bytes, transaction })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{TRANSACTION, message};
    use super::*;

    const LIMIT: usize = 65_536;

    fn post(bytes: &[u8]) -> Result<Message, Unreadable> {
        read(Carried::Post(Bytes::copy_from_slice(bytes)), LIMIT)
    }

    fn is_rubbish(result: &Result<Message, Unreadable>) -> bool {
        matches!(result, Err(Unreadable::Rubbish(text)) if !text.is_empty())
    }

    #[test]
    fn a_readable_message_goes_on_even_if_its_signature_is_wrong() {
        let mut bytes = message(b"content");
        assert_eq!(post(&bytes).unwrap().transaction, TRANSACTION);
        // The signature is what ends the message.
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(post(&bytes), Ok(Message { bytes, transaction: TRANSACTION.to_owned() }));
    }

    #[test]
    fn what_is_cut_or_longer_is_rubbish() {
        let whole = message(b"content");
        for cut in 0..whole.len() {
            assert!(is_rubbish(&post(&whole[..cut])), "{cut}");
        }
        assert!(is_rubbish(&post(&[&whole[..], &[0]].concat())));
        assert_eq!(post(&vec![0x30; LIMIT + 1]), Err(Unreadable::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(is_rubbish(&post(&bytes)));
            let sequence = [&[0x30, 0x80][..], &bytes].concat();
            prop_assert!(is_rubbish(&post(&sequence)));
        }

        #[test]
        fn any_value_is_read_or_refused(value in ".{0,300}") {
            prop_assert!(is_rubbish(&read(Carried::Get(value), LIMIT)));
        }

        #[test]
        fn a_flipped_bit_never_panics(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
            let mut bytes = message(b"content");
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = post(&bytes);
        }
    }
}
