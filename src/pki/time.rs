//! Times in certificates and CRLs.

use der::DateTime;
use der::asn1::{GeneralizedTime, UtcTime};
use x509_cert::time::Time;

use crate::clock::Timestamp;

/// `time` as RFC 5280 section 4.1.2.5 has it: UTCTime through the year 2049, GeneralizedTime from
/// 2050 on, whole seconds. Fails after the year 9999.
pub fn x509_time(time: Timestamp) -> der::Result<Time> {
    let seconds = std::time::Duration::from_secs(time.unix_seconds());
    let date = DateTime::from_unix_duration(seconds)?;
    Ok(match date.year() {
        ..2050 => Time::UtcTime(UtcTime::from_date_time(date)?),
        2050.. => Time::GeneralTime(GeneralizedTime::from_date_time(date)),
    })
}
