//! Metrics and health as a collector on the host sees them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use softhsm_test::client::http::{self, Request, Response, Url};
use softhsm_test::instance::{Instance, Options};

use crate::common::{BAD_REQUEST, good, granted, refused, serial, with_csr};

fn instance() -> Instance {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let metrics = "[metrics]\nlisten = \"127.0.0.1:0\"\n\n[frontend]";
    instance.configure(|text| text.replace("[frontend]", metrics)).unwrap();
    instance.start_roles().unwrap();
    instance
}

/// Where the log says that the watchers' port is.
fn port(instance: &Instance) -> Url {
    let logs = instance.logs();
    let at = logs.find("metrics and health are at ").expect("the address in the log");
    let url = logs[at..].split_whitespace().find(|w| w.starts_with("http://")).unwrap();
    Url::parse(url.trim_end_matches(',')).unwrap()
}

fn get(url: &Url, path: &str) -> Response {
    http::send(url, &Request::get(path)).unwrap()
}

/// The value of the sample that begins so.
fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find(|l| l.strip_prefix(sample).is_some_and(|r| r.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn what_happens_is_counted_and_what_ends_is_told() {
    let instance = instance();
    let server = instance.server().unwrap();
    let (device, draft) = good(&instance, &server, "metrics-1");
    let certificate = granted(&instance, &server, &device, &draft);
    granted(&instance, &server, &device, &draft);
    let (stranger, wrong) =
        with_csr(&server, "metrics-2", softhsm_test::client::Csr::new("metrics-2").challenge("no"));
    refused(&server, &stranger, &wrong, BAD_REQUEST);
    let number = serial(&certificate);
    instance.ask(&["cert", "revoke", &number, "--reason", "superseded", "--yes"]).unwrap();

    let url = port(&instance);
    let answer = get(&url, "/metrics");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    let request = |outcome: &str, reason: &str| {
        format!(
            "chancery_requests_total{{endpoint=\"device\",message_type=\"PKCSReq\",\
             outcome=\"{outcome}\",reason=\"{reason}\"}}"
        )
    };
    for (sample, expected) in [
        (request("issued", ""), 1.0),
        (request("repeated", ""), 1.0),
        (request("refused", "wrong-challenge"), 1.0),
        ("chancery_certificates_issued_total{ca=\"issuing\",profile=\"device\"}".into(), 1.0),
        ("chancery_certificates_revoked_total{ca=\"issuing\",reason=\"superseded\"}".into(), 1.0),
        ("chancery_crl_entries{ca=\"issuing\"}".into(), 1.0),
        ("chancery_maintenance_mode".into(), 0.0),
        ("chancery_signer_up".into(), 1.0),
    ] {
        assert_eq!(value(&text, &sample), Some(expected), "{sample} in:\n{text}");
    }
    let crl = value(&text, "chancery_crl_next_update_timestamp_seconds{ca=\"issuing\"}").unwrap();
    let ca = "chancery_ca_certificate_not_after_timestamp_seconds{ca=\"issuing\"}";
    assert!(crl > 1.7e9 && value(&text, ca).unwrap() > crl);
    let signed =
        "chancery_hsm_operation_duration_seconds_count{ca=\"issuing\",operation=\"ca-sign\"}";
    assert!(value(&text, signed).unwrap() >= 2.0, "a certificate and a CRL: {text}");
    // No label is of a device's choosing, and no challenge is anywhere.
    for private in ["metrics-1", number.as_str(), instance.challenge.as_str()] {
        assert!(!text.contains(private), "{private} in:\n{text}");
    }
    let printed = instance.ask(&["metrics"]).unwrap();
    assert!(value(&printed, &request("issued", "")) == Some(1.0), "{printed}");
}

#[test]
fn readiness_follows_the_signer_and_liveness_does_not() {
    let mut instance = instance();
    let url = port(&instance);
    assert_eq!(get(&url, "/readyz").status, 200);
    assert_eq!(get(&url, "/healthz").text(), "ok\n");
    instance.terminate("signer").unwrap();
    instance.service("signer").unwrap().wait(Duration::from_secs(20)).unwrap();
    let began = Instant::now();
    let answer = loop {
        let answer = get(&url, "/readyz");
        if answer.status != 200 || began.elapsed() > Duration::from_secs(20) {
            break answer;
        }
    };
    assert_eq!(answer.status, 503);
    assert!(answer.text().starts_with("the signer does not answer: "), "{}", answer.text());
    assert_eq!(get(&url, "/healthz").status, 200);
    let text = get(&url, "/metrics").text();
    assert_eq!(value(&text, "chancery_signer_up"), Some(0.0), "{text}");
    assert_eq!(get(&url, "/scep/device?operation=GetCACaps").status, 404, "the devices' port");
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c: char| !is_name(c)).filter(|w| w.starts_with("chancery_"));
    let plain = |word: &str| {
        let end = ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end));
        end.unwrap_or(word).to_owned()
    };
    words.map(plain).collect()
}

#[test]
fn alerts_and_dashboard_name_metrics_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let of_code = ["signer", "snapshot", "frontend"]
        .iter()
        .flat_map(|file| names(&read(&format!("src/telemetry/metrics/{file}.rs"))))
        .collect::<BTreeSet<_>>();
    for file in ["prometheus/chancery.rules.yml", "grafana/chancery.json"] {
        let named = names(&read(&format!("packaging/{file}")));
        assert!(named.len() > 10, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&of_code).collect();
        assert!(unknown.is_empty(), "{file} names metrics that nothing makes: {unknown:?}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("packaging/grafana/chancery.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 20);
}

#[test]
fn metrics_stay_on_this_host() {
    let instance = Instance::create(&Options::default()).unwrap();
    let metrics = "[metrics]\nlisten = \"0.0.0.0:9464\"\n\n[frontend]";
    instance.configure(|text| text.replace("[frontend]", metrics)).unwrap();
    let refused = instance.command(&["config", "check"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(8), "{said}");
    assert!(said.contains("metrics.listen") && said.contains("127.0.0.1:9464"), "{said}");
}
