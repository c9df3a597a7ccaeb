//! The values of the field `event`: what a record is about, for filters and alerts. They are never
//! renamed.

/// A role begins; its version and configuration's digest.
pub const START: &str = "start";
/// A role serves; its addresses.
pub const READY: &str = "ready";
/// A role was told to stop and finishes what it has.
pub const STOP: &str = "stop";
/// The configuration allows something that deserves attention.
pub const CONFIGURATION: &str = "configuration";
/// One HTTP request, whatever its answer: source, endpoint, operation, status, time taken.
pub const ACCESS: &str = "access";
/// One enrolment, whatever its outcome: transaction, serial, endpoint, outcome, time taken.
pub const ENROLMENT: &str = "enrolment";
/// A message that was refused before it became an enrolment.
pub const REFUSED: &str = "refused";
/// A one-time challenge came again after its uses were taken: it was copied, or a device was.
pub const CHALLENGE_REUSED: &str = "challenge-reused";
/// So many wrong challenges came that none is looked at for a while: somebody tries them.
pub const CHALLENGES_TRIED: &str = "challenges-tried";
/// So many queries for what is not there came that none is looked at for a while.
pub const QUERIES_TRIED: &str = "queries-tried";
/// So many envelopes could not be opened that none is opened for a while: somebody tries the key.
pub const ENVELOPES_TRIED: &str = "envelopes-tried";
/// A peer on a Unix socket came, went or was turned away.
pub const PEER: &str = "peer";
/// The HSM: opened, lost, found again, a key refused.
pub const HSM: &str = "hsm";
/// The ledger: opened, recovered, poisoned, closed.
pub const LEDGER: &str = "ledger";
/// A GetCert or GetCRL that was answered.
pub const QUERY: &str = "query";
/// A CRL was made, or could not be.
pub const CRL: &str = "crl";
/// A certificate was revoked, held or released.
pub const REVOCATION: &str = "revocation";
/// A step of a CA's rollover, or what keeps one from being announced.
pub const ROLLOVER: &str = "rollover";
/// A child of `chancery serve` started, ended or is started again.
pub const CHILD: &str = "child";

/// The MESSAGE_ID of each event, by which `journalctl -x` finds its text in `packaging/chancery.catalog`.
/// They are never changed, and none is used again.
const MESSAGE_IDS: [(&str, &str); 19] = [
    (START, "770660567c28468eb9aae349ceacd7a2"),
    (READY, "906ab7ef50904fe295c39ae9c4a8a7a6"),
    (STOP, "79fff9d7c8a4422eae95a31007cddfc4"),
    (CONFIGURATION, "6fa6a247869f4ae19a633da09af51dd5"),
    (ACCESS, "48ed26964e7b436fb81329bfe36f706a"),
    (ENROLMENT, "a75e3450eb894601b0e5b3aeb56de795"),
    (REFUSED, "f6eec75326b949669ae4c8dcc672d1b4"),
    (CHALLENGE_REUSED, "4c983f74c1ee4068b4ba7fdae442b817"),
    (CHALLENGES_TRIED, "1310bba50e9e4c06b5eb8b3c76bff58e"),
    (QUERIES_TRIED, "a4350a71874b4a37ad44c3a4b57ecbcb"),
    (ENVELOPES_TRIED, "86303363cf874456802954fbe417c28e"),
    (PEER, "6e4ae8a52c5149a5a3e096bc431f2adb"),
    (HSM, "243ffb8908034de7b6e2a5f5add5fe27"),
    (LEDGER, "e6307af799444a13bbaef35d21aae775"),
    (QUERY, "a45517f8fdba4700a0c349868d761c0f"),
    (CRL, "746d628e088c4ac3b2c83d5cd7545f43"),
    (REVOCATION, "57fb8433852547deaa744e102ff4f3fd"),
    (ROLLOVER, "32809b37daca487fb128aa0a3dafa8d2"),
    (CHILD, "b1fd2015b22a48e2996f0ec77d3ae410"),
];

/// The MESSAGE_ID (systemd.journal-fields(7)) of `event`.
pub(super) fn message_id(event: &str) -> Option<&'static str> {
    MESSAGE_IDS.iter().find(|(name, _)| *name == event).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_event_has_a_message_id_and_a_text_in_the_catalogue() {
        let declared = include_str!("event.rs").lines().filter_map(|line| {
            let (_, value) = line.strip_prefix("pub const ")?.split_once(": &str = ")?;
            value.strip_suffix(';')
        });
        let declared: BTreeSet<_> = declared.map(|name| name.trim_matches('"')).collect();
        let named: BTreeSet<_> = MESSAGE_IDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(declared, named);
        let ids: BTreeSet<_> = MESSAGE_IDS.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids.len(), MESSAGE_IDS.len(), "an ID stands twice");
        let plain =
            |id: &&str| id.len() == 32 && hex::decode(id).is_ok_and(|b| hex::encode(b) == **id);
        assert!(ids.iter().all(plain), "{ids:?}");

        let catalogue = include_str!("../../packaging/chancery.catalog");
        let texts: Vec<_> = catalogue.split("\n-- ").skip(1).collect();
        let in_it: BTreeSet<_> = texts.iter().filter_map(|text| text.lines().next()).collect();
        assert_eq!((in_it, texts.len()), (ids, MESSAGE_IDS.len()));
        for text in texts {
            let (head, body) = text.split_once("\n\n").expect("a blank line behind the header");
            assert!(
                head.contains("\nSubject: ") && head.contains("\nDefined-By: Chancery"),
                "{head}"
            );
            assert!(body.trim().len() > 60, "{text}");
        }
    }
}
