//! `chancery cert list`, `search` and `export`: many certificates, by filters.

use std::net::IpAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::command::{as_json, time};
use crate::cli::command::Common;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request::to_pem;
use crate::cli::{admin, output};
use crate::clock::Timestamp;
use crate::config::parse_duration;
use crate::telemetry::escaped;
use crate::wire::admin::{Certificate, CertificateFilter, Request, Response};

/// What certificates must have; all that is given must fit.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// A part of the subject, as "CN=device-7"
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// A part of an alternative name, as "dns:device-7.example"
    #[arg(long, value_name = "TEXT")]
    san: Option<String>,
    /// The subjectKeyIdentifier in hexadecimal
    #[arg(long, value_name = "HEX")]
    ski: Option<String>,
    /// The certificate's SHA-256 in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    fingerprint: Option<String>,
    /// The CA
    #[arg(long, value_name = "NAME")]
    ca: Option<String>,
    /// The endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// The profile
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// The state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// The transaction ID
    #[arg(long, value_name = "ID")]
    transaction: Option<String>,
    /// The address that the request came from
    #[arg(long, value_name = "ADDRESS")]
    source: Option<IpAddr>,
    /// Issued at or after this moment (2026-01-31 or 2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    issued_from: Option<Timestamp>,
    /// Issued before this moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    issued_to: Option<Timestamp>,
    /// Ends within this time from now, as 30d; the soonest come first
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expiring: Option<Duration>,
}

/// A state to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// In force
    Valid,
    /// Past its end
    Expired,
    /// Revoked for good
    Revoked,
    /// Suspended
    #[value(name = "on-hold")]
    OnHold,
}

/// A file's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One PEM certificate after the other
    Pem,
    /// Comma-separated values with a line of names
    Csv,
    /// One JSON object a line
    Json,
}

impl Filters {
    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        CertificateFilter::from(self) == CertificateFilter::default()
    }
}

impl From<&Filters> for CertificateFilter {
    fn from(filters: &Filters) -> Self {
        let state = filters.state.map(|state| match state {
            State::Valid => "valid",
            State::Expired => "expired",
            State::Revoked => "revoked",
            State::OnHold => "on hold",
        });
        let within = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            subject: filters.subject.clone(),
            san: filters.san.clone(),
            ski: filters.ski.clone(),
            fingerprint: filters.fingerprint.clone(),
            ca: filters.ca.clone(),
            endpoint: filters.endpoint.clone(),
            profile: filters.profile.clone(),
            state: state.map(str::to_owned),
            transaction: filters.transaction.clone(),
            source: filters.source.map(|s| s.to_string()),
            issued_from: filters.issued_from.map(Timestamp::unix_millis),
            issued_to: filters.issued_to.map(Timestamp::unix_millis),
            expiring: filters.expiring.map(within),
        }
    }
}

/// Prints one line a certificate.
pub fn list(filters: &Filters, limit: u64, common: &Common) -> Result<(), Failure> {
    each(filters, limit, common, |certificate| match common.json {
        true => output::json(&as_json(certificate)?),
        false => output::write(&line(certificate)),
    })
}

/// The same, where something is looked for.
pub fn search(filters: &Filters, limit: u64, common: &Common) -> Result<(), Failure> {
    if filters.is_empty() {
        return Err(Failure::new(
            Exit::Usage,
            "nothing was searched",
            "no filter is given",
            "give one, such as --subject; `chancery cert list` shows all certificates",
        ));
    }
    list(filters, limit, common)
}

/// Prints a file of certificates.
pub fn export(filters: &Filters, format: Format, common: &Common) -> Result<(), Failure> {
    let format = if common.json { Format::Json } else { format };
    if format == Format::Csv {
        output::write("serial,state,not_after,ca,endpoint,profile,reason,changed,subject\n")?;
    }
    each(filters, u64::MAX, common, |certificate| match (format, &certificate.der) {
        (Format::Pem, Some(der)) => output::write(&to_pem("CERTIFICATE", der)?),
        (Format::Pem, None) => Ok(()),
        (Format::Csv, _) => output::write(&row(certificate)),
        (Format::Json, _) => output::json(&as_json(certificate)?),
    })
}

/// Calls `show` with each certificate that is found, page by page, `limit` at the most.
pub fn each(
    filters: &Filters,
    limit: u64,
    common: &Common,
    mut show: impl FnMut(&Certificate) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let filter = CertificateFilter::from(filters);
    let (mut from, mut left) = (None, limit);
    loop {
        let request = Request::CertSearch { filter: Box::new(filter.clone()), from };
        let Response::CertificatePage(page) = admin::ask(common, request)? else {
            return Err(admin::unexpected());
        };
        for certificate in &page.certificates {
            if left == 0 {
                output::note("There are more; raise --limit or narrow the search.");
                return Ok(());
            }
            show(certificate)?;
            left -= 1;
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

fn line(c: &Certificate) -> String {
    format!(
        "{:<34} {:<8} {:<24} {}\n",
        c.serial,
        escaped(&c.state, 16),
        c.not_after.map(time).unwrap_or_default(),
        escaped(&c.subject, 500)
    )
}

fn row(c: &Certificate) -> String {
    let cells = [
        c.serial.clone(),
        c.state.clone(),
        c.not_after.map(time).unwrap_or_default(),
        c.ca.clone(),
        c.endpoint.clone(),
        c.profile.clone(),
        c.reason.clone().unwrap_or_default(),
        c.changed.map(time).unwrap_or_default(),
        escaped(&c.subject, 2000),
    ];
    cells.map(|cell| quoted(&cell)).join(",") + "\n"
}

/// A cell of a CSV file (RFC 4180 section 2). One that a spreadsheet would take for a formula gets an
/// apostrophe: subjects are of the devices' choosing.
fn quoted(cell: &str) -> String {
    let harmless = match cell.starts_with(['=', '+', '-', '@', '\t']) {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    };
    match harmless.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", harmless.replace('"', "\"\"")),
        false => harmless,
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write it as 30d, 12h or 90m".into())
}

fn sha256(text: &str) -> Result<String, String> {
    let plain = text.replace(':', "").to_ascii_lowercase();
    match hex::decode(&plain) {
        Ok(bytes) if bytes.len() == 32 => Ok(plain),
        _ => Err("a SHA-256 has 64 hexadecimal digits".into()),
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .ok_or_else(|| "write it as 2026-01-31 or 2026-01-31T12:00:00Z, in UTC".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_out_of_their_row() {
        assert_eq!(quoted("CN=a"), "CN=a");
        assert_eq!(quoted("CN=a,O=b"), "\"CN=a,O=b\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
    }

    #[test]
    fn moments_are_days_or_seconds() {
        let day = moment("2026-01-31").unwrap();
        assert_eq!(day.to_string(), "2026-01-31T00:00:00.000Z");
        assert_eq!(moment("2026-01-31T12:30:01Z").unwrap().since(day).as_secs(), 45_001);
        for wrong in ["", "2026", "2026-13-01", "2026-02-30", "2026-01-31T25:00:00Z", "yesterday"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
