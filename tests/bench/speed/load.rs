//! The load: so many connections, each with one request under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use softhsm_test::client::Server;
use softhsm_test::client::http::{Connection, Response};

use crate::devices::Ready;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What came of a load.
pub struct Outcome {
    /// How long it took.
    pub elapsed: Duration,
    /// The answers with their requests' places and how long each took.
    pub answers: Vec<(usize, Duration, Response)>,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answers.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds that this part of the answers stayed below.
    pub fn latency_ms(&self, part: f64) -> f64 {
        let mut all: Vec<f64> =
            self.answers.iter().map(|(_, t, _)| t.as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        all.get(((all.len() as f64 * part) as usize).min(all.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0.0)
    }

    /// Opens and checks every answer: each must be a certificate for its device. Done after the timed part.
    pub fn verify(&self, server: &Server, ready: &[Ready]) {
        crate::devices::in_parallel(self.answers.len(), |n| {
            let (place, _, response) = &self.answers[n];
            let one = &ready[*place];
            let reply = server.read(response, &one.sent, &one.device).expect("a CertRep");
            let certificate = reply.certificate().expect("a certificate");
            assert_eq!(certificate.spki, one.device.key.public_key_to_der().unwrap());
        });
    }
}

/// Sends the requests over `connections` connections until they are all sent or the time is over.
pub fn run(server: &Server, ready: &[Ready], connections: usize, limit: Duration) -> Outcome {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let work = || {
        let mut answers = Vec::new();
        let mut connection = Connection::open(&server.url, TIMEOUT).unwrap();
        while start.elapsed() < limit {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = ready.get(place) else { break };
            let began = Instant::now();
            let response = connection.send_raw(&one.bytes, false).expect("an answer");
            if response.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
                connection = Connection::open(&server.url, TIMEOUT).unwrap();
            }
            answers.push((place, began.elapsed(), response));
        }
        answers
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().unwrap()).collect()
    });
    Outcome { elapsed: start.elapsed(), answers }
}
