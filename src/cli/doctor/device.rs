//! An endpoint as a device sees it: GetCACaps and GetCACert over a socket, and what breaks on the way.

use std::time::Duration;

use super::finding::Report;
use super::http::{Answer, Endpoint};
use super::{authority, caps};
use crate::cli::exit::Exit;
use crate::cms::{Limits, SignedData};
use crate::pki::Certificate;

/// How far the clocks of server and doctor may be apart: the Date field has whole seconds.
const CLOCK_SLACK: Duration = Duration::from_secs(30);

const TRANSPORT: &str = "transport";

/// What the running signer says of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) caps: Vec<u8>,
    pub(super) ca_body: Vec<u8>,
}

/// Asks what a device asks.
pub(super) async fn examine(report: &mut Report, endpoint: &Endpoint, expected: Option<&Expected>) {
    let thing = endpoint.to_string();
    let Some(caps_text) = capabilities(report, endpoint, &thing, expected).await else { return };
    certificates(report, endpoint, &thing, expected).await;
    announcement(report, endpoint, &thing, &caps_text).await;
    tolerance(report, endpoint, &thing, &caps_text).await;
    messages(report, endpoint, &thing).await;
    if !report.has_problem(TRANSPORT, &thing) {
        report.good(
            TRANSPORT,
            thing,
            "GET and POST pass, with every path and parameter that clients append",
        );
    }
}

async fn capabilities(
    report: &mut Report,
    endpoint: &Endpoint,
    thing: &str,
    expected: Option<&Expected>,
) -> Option<String> {
    let answer = match endpoint.get("operation=GetCACaps").await {
        Ok(answer) => answer,
        Err(cause) => {
            let next =
                "start the frontend, name its address in the URL, and see what stands between";
            report.error(Exit::Failed, TRANSPORT, thing, cause, next);
            return None;
        }
    };
    clock(report, thing, &answer);
    if answer.status != 200 {
        let cause = format!("GetCACaps is answered by HTTP {}: {}", answer.status, text(&answer));
        let next =
            "correct the URL's path: `chancery config explain endpoint.NAME.path` says what it is";
        report.error(Exit::Failed, TRANSPORT, thing, cause, next);
        return None;
    }
    media_type(report, thing, "GetCACaps", &answer, "text/plain");
    let found = text(&answer);
    caps::judge(report, thing, &found);
    if let Some(expected) = expected
        && let Some(what) = caps::differ(&String::from_utf8_lossy(&expected.caps), &found)
    {
        let cause = format!("the capabilities are not those of the signer: {what}");
        let next = "see whether another frontend, or a cache, answers at this address";
        report.error(Exit::Failed, "policy", thing, cause, next);
    }
    Some(found)
}

async fn certificates(
    report: &mut Report,
    endpoint: &Endpoint,
    thing: &str,
    expected: Option<&Expected>,
) {
    let answer = match endpoint.get("operation=GetCACert").await {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) => {
            let cause =
                format!("GetCACert is answered by HTTP {}: {}", answer.status, text(&answer));
            return report.error(Exit::Failed, TRANSPORT, thing, cause, "see the frontend's log");
        }
        Err(cause) => {
            return report.error(Exit::Failed, TRANSPORT, thing, cause, "see the frontend's log");
        }
    };
    if expected.is_some_and(|e| e.ca_body != answer.body) {
        let cause = "GetCACert does not return what the signer hands out";
        let next = "see whether another frontend, or a cache, answers at this address";
        report.error(Exit::Failed, "policy", thing, cause, next);
    }
    let read = match Certificate::from_der(&answer.body) {
        Ok(only) => Ok(("application/x-x509-ca-cert", vec![only])),
        Err(_) => several(&answer.body).map(|all| ("application/x-x509-ca-ra-cert", all)),
    };
    match read {
        Ok((expected, all)) => {
            media_type(report, thing, "GetCACert", &answer, expected);
            if all.len() == 1 {
                let cause = "GetCACert returns one certificate; certmonger cannot verify with that";
                let next = "let `ca_cert_response` name the RA, the CA and the root";
                report.notice("certificates", thing, cause, next);
            }
            authority::judge(report, thing, &all);
        }
        Err(cause) => {
            let cause = format!("GetCACert returns no certificates: {cause}");
            let next =
                "see what stands between the devices and the frontend: this is not its answer";
            report.error(Exit::Failed, "certificates", thing, cause, next);
        }
    }
}

fn several(body: &[u8]) -> Result<Vec<Certificate>, String> {
    let message = SignedData::from_ber(body, &Limits::default()).map_err(|e| e.to_string())?;
    let all = message.certificates().iter().map(|der| Certificate::from_der(der));
    let all: Vec<Certificate> = all.collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    if all.is_empty() { Err("the message is empty".into()) } else { Ok(all) }
}

/// Rows 20 and 103: the keyword and the answer come and go together.
async fn announcement(report: &mut Report, endpoint: &Endpoint, thing: &str, caps: &str) {
    let Ok(answer) = endpoint.get("operation=GetNextCACert").await else { return };
    let listed = caps::keywords(caps).contains("GetNextCACert");
    let cause = match (listed, answer.status == 200) {
        (true, false) => format!("GetNextCACert is listed, and answered by HTTP {}", answer.status),
        (false, true) => "GetNextCACert is answered, and not listed".into(),
        (true, true) => {
            return report.good("rollover", thing, "a next CA is announced");
        }
        (false, false) => return,
    };
    let next = "run `chancery ca rollover show`; a cache may hold an old answer";
    report.error(Exit::Failed, "rollover", thing, cause, next);
}

/// What real clients append (docs/scep.md rows 8, 23 and 30) must make no difference.
async fn tolerance(report: &mut Report, endpoint: &Endpoint, thing: &str, caps: &str) {
    for (suffix, query, who) in [
        ("", "operation=GetCACaps&message=0", "certmonger"),
        ("", "operation=GetCACaps&message=CAIdentifier", "sscep"),
        ("/", "operation=GetCACaps", "many clients"),
        ("/pkiclient.exe", "operation=GetCACaps", "Windows and Cisco IOS"),
    ] {
        let same = match endpoint.get_below(suffix, query).await {
            Ok(answer) => answer.status == 200 && text(&answer) == caps,
            Err(_) => false,
        };
        if !same {
            let cause = format!("{suffix}?{query} gets another answer; {who} ask so");
            let next = "let the proxy pass every path below the endpoint's, and every query";
            report.warning(TRANSPORT, thing, cause, next);
        }
    }
}

/// Whether messages come through: rubbish by POST and by a long GET must reach the frontend, which
/// says 400. It costs no key's use and nothing in the ledger.
async fn messages(report: &mut Report, endpoint: &Endpoint, thing: &str) {
    let operation = "operation=PKIOperation";
    match endpoint.post(operation, b"this is not a message").await {
        Ok(answer) if answer.status == 400 => {}
        Ok(answer) => {
            let cause =
                format!("a POST that is no message is answered by HTTP {}, not 400", answer.status);
            let next = "let the proxy pass POST unchanged; 503 says that the signer is away: see `chancery status`";
            report.error(Exit::Failed, TRANSPORT, thing, cause, next);
        }
        Err(cause) => {
            report.error(Exit::Failed, TRANSPORT, thing, cause, "let the proxy pass POST");
        }
    }
    // certmonger and old iOS put some 4 kB into the URL.
    let long = format!("{operation}&message={}", "QUJD".repeat(2048));
    match endpoint.get(&long).await {
        Ok(answer) if answer.status == 400 => {}
        Ok(answer) => {
            let cause = format!(
                "a GET with a message of 8 kB is answered by HTTP {}; certmonger and Cisco send such",
                answer.status
            );
            let next = "allow long URLs in the proxy, and `allow_get` at the endpoint";
            report.warning(TRANSPORT, thing, cause, next);
        }
        Err(cause) => report.warning(TRANSPORT, thing, cause, "allow long URLs in the proxy"),
    }
}

fn clock(report: &mut Report, thing: &str, answer: &Answer) {
    let Some(date) = answer.date else { return };
    let (now, check) = (report.now, "clock");
    let apart = now.since(date).max(date.since(now));
    if apart > CLOCK_SLACK {
        let cause = format!("the server's clock says {date}, this host's {now}");
        let next = "synchronise both (NTP); certificates are dated by the server's";
        report.warning(check, thing, cause, next);
    } else {
        report.good(check, thing, "the server's clock agrees with this host's");
    }
}

fn media_type(report: &mut Report, thing: &str, what: &str, answer: &Answer, expected: &str) {
    let proxy = "let the proxy pass the media type unchanged";
    if answer.content_type.as_deref() != Some(expected) {
        let found = answer.content_type.as_deref().unwrap_or("none");
        // Q4: sscep and others compare it byte by byte.
        let cause = format!("{what} has the media type {found} where clients need {expected}");
        report.error(Exit::Failed, TRANSPORT, thing, cause, proxy);
    }
    if !answer.has_length {
        let cause = format!("{what} comes without Content-Length; old clients cannot read that");
        report.warning(
            TRANSPORT,
            thing,
            cause,
            "let the proxy pass answers unchanged, not chunked",
        );
    }
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}
