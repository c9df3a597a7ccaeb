//! A batch of requests at once: a thousand devices with distinct keys over 32 connections.

use std::time::{Duration, Instant};

use softhsm_test::client::http::Connection;
use softhsm_test::client::{Csr, Delivery, Device, Parts, keys};
use softhsm_test::instance::Instance;

use crate::common::{each_recorded_once, ledger};

const DEVICES: usize = 1000;
const CONNECTIONS: usize = 32;

#[test]
fn row_097_quirk_63_a_thousand_devices_over_32_connections() {
    let instance = Instance::serve().unwrap();
    let server = instance.server().unwrap();
    let keys = keys::many_rsa(DEVICES).unwrap();
    let start = Instant::now();
    let certificates: Vec<Parts> = std::thread::scope(|scope| {
        let per_connection = keys.chunks(DEVICES.div_ceil(CONNECTIONS));
        let workers: Vec<_> = per_connection
            .map(|keys| {
                let (instance, server) = (&instance, &server);
                scope.spawn(move || {
                    let mut connection =
                        Connection::open(&server.url, Duration::from_secs(120)).unwrap();
                    let enrol = |key: &keys::Key| {
                        let device = Device::with_key(key.clone(), "batch").unwrap();
                        let csr = Csr::new("batch").challenge(&instance.challenge);
                        let csr = csr.build(key).unwrap();
                        let draft = server.draft(&device, "19", csr).unwrap();
                        let sent = draft.build(&device).unwrap();
                        let request = server.operation(&sent.body, &Delivery::Post(None));
                        let response = connection.send(&request).unwrap();
                        let reply = server.read(&response, &sent, &device).unwrap();
                        let certificate = reply.certificate().unwrap().clone();
                        assert_eq!(certificate.spki, key.public_key_to_der().unwrap());
                        certificate
                    };
                    keys.iter().map(enrol).collect::<Vec<_>>()
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    let elapsed = start.elapsed();
    assert_eq!(certificates.len(), DEVICES);
    certificates.iter().for_each(|c| instance.verify(c).unwrap());
    let mut distinct: Vec<_> = certificates.iter().map(|c| (&c.serial, &c.spki)).collect();
    distinct.sort();
    distinct.dedup_by_key(|(serial, _)| *serial);
    assert_eq!(distinct.len(), DEVICES, "serial numbers are distinct");
    each_recorded_once(&instance, &certificates);
    let entries = ledger(&instance);
    for event in ["reservation", "certificate"] {
        assert_eq!(entries.iter().filter(|e| e.event == event).count(), DEVICES, "{event}");
    }
    eprintln!("{DEVICES} enrolments in {elapsed:.1?}");
}
