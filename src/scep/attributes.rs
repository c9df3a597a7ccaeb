//! The object identifiers of SCEP's signed attributes (RFC 8894 section 3.2.1, table 1).

use const_oid::ObjectIdentifier;

/// id-VeriSign messageType.
pub(super) const MESSAGE_TYPE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.2");
/// id-VeriSign pkiStatus.
pub(super) const PKI_STATUS: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.3");
/// id-VeriSign failInfo.
pub(super) const FAIL_INFO: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.4");
/// id-VeriSign senderNonce.
pub(super) const SENDER_NONCE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.5");
/// id-VeriSign recipientNonce.
pub(super) const RECIPIENT_NONCE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.6");
/// id-VeriSign transactionID.
pub(super) const TRANSACTION_ID: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.7");
/// id-scep-failInfoText.
pub(super) const FAIL_INFO_TEXT: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.24.1");
