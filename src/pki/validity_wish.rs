//! How long a Microsoft client wants its certificate to be valid (docs/scep.md quirk 32): the pairs
//! ValidityPeriod and ValidityPeriodUnits among the enrolment name and value pairs of its request
//! (szOID_ENROLLMENT_NAME_VALUE_PAIR, MS-WCCE section 2.2.2.7.10).

use std::time::Duration;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Tag, Tagged};

use super::CertificateRequest;
use super::asn1::{inside, oid, text};

const NAME_VALUE_PAIR: ObjectIdentifier = oid("1.3.6.1.4.1.311.13.2.1");
const HOUR: u64 = 3600;

impl CertificateRequest {
    /// The validity that the request asks for; none where it says nothing, or nothing that is clear. A
    /// month counts 30 days and a year 365.
    pub fn validity_wish(&self) -> Option<Duration> {
        let unit = match self.pair("ValidityPeriod")?.to_ascii_lowercase().as_str() {
            "hours" => HOUR,
            "days" => 24 * HOUR,
            "weeks" => 7 * 24 * HOUR,
            "months" => 30 * 24 * HOUR,
            "years" => 365 * 24 * HOUR,
            _ => return None,
        };
        let units: u32 = self.pair("ValidityPeriodUnits")?.parse().ok()?;
        let seconds = u64::from(units).checked_mul(unit)?;
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    /// The one value under `name`, whose letters' case does not count.
    fn pair(&self, name: &str) -> Option<String> {
        let pairs = self.attribute(NAME_VALUE_PAIR).filter_map(read);
        let mut values = pairs.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let value = values.next()?;
        values.all(|other| other == value).then_some(value)
    }
}

/// SEQUENCE { name BMPString, value BMPString }, of any string type.
fn read(der: &[u8]) -> Option<(String, String)> {
    let any = AnyRef::from_der(der).ok()?;
    let [name, value] = inside(any, Tag::Sequence).ok()?[..] else { return None };
    Some((text(name.tag(), name.value())?, text(value.tag(), value.value())?))
}
