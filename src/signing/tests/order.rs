//! Reserve, sign, record, answer: in this order and never less (I1, I2).

use std::time::Duration;

use super::fakes::{Bench, limits};
use crate::signing::{KeyUseError, SigningError};

const INTENT: &str = "signing-intent";
const SIGNED: &str = "signed-object";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_signed_before_its_reservation_is_durable() {
    let bench = Bench::new(limits(8, 8));
    bench.disk.hold(true);
    let permit = bench.enqueue("x").unwrap();
    assert!(bench.calls_of(1).await.is_empty(), "the disk has not answered yet");
    bench.disk.hold(false);
    let committed = permit.result().await.unwrap();
    assert_eq!(committed.object(), b"signed x");
    assert_eq!((committed.reservation().0, committed.record().0), (0, 1));
    let expected = [format!("{INTENT} x"), "sign x".to_owned(), format!("{SIGNED} x")];
    assert_eq!(bench.calls.all(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_sees_nothing_but_what_was_announced() {
    let bench = Bench::new(limits(8, 8));
    let mut work = bench.work("x");
    work.message.push(b'!');
    let error = bench.queue.enqueue(work).unwrap().result().await.unwrap_err();
    assert!(matches!(error, SigningError::Unannounced), "{error}");
    assert!(bench.calls.all().is_empty(), "neither reserved nor signed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_handed_out_before_its_record_is_durable() {
    let bench = Bench::new(limits(8, 8));
    bench.hsm.hold(true);
    let permit = bench.enqueue("x").unwrap();
    assert_eq!(bench.calls_of(2).await.len(), 2, "reserved and at the key");
    bench.disk.hold(true);
    bench.hsm.hold(false);
    let answer = tokio::spawn(permit.result());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!answer.is_finished(), "the record is not on the disk");
    assert_eq!(bench.calls.all().len(), 2);
    bench.disk.hold(false);
    answer.await.unwrap().unwrap();
    assert_eq!(bench.calls.all().last().unwrap(), &format!("{SIGNED} x"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_fails_abandons_its_reservation() {
    let bench = Bench::new(limits(8, 8));
    let permit = bench.queue.enqueue(bench.work_of("x", true)).unwrap();
    let error = permit.result().await.unwrap_err();
    assert!(matches!(error, SigningError::Key(KeyUseError::Unavailable(_))), "{error}");
    // Before the answer: the record stands when the caller hears of it.
    let expected = [format!("{INTENT} x"), "sign x".to_owned(), "abandoned x".to_owned()];
    assert_eq!(bench.calls.all(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_refused_by_its_own_check_is_abandoned() {
    let bench = Bench::new(limits(8, 8));
    let mut work = bench.work("x");
    work.assemble = Box::new(|_, _| Err("not as planned".into()));
    let error = bench.queue.enqueue(work).unwrap().result().await.unwrap_err();
    assert!(matches!(error, SigningError::Object(_)), "{error}");
    assert_eq!(bench.calls.all().last().unwrap(), "abandoned x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_fails_signs_nothing() {
    let bench = Bench::with(limits(8, 8), Some(INTENT));
    let error = bench.enqueue("x").unwrap().result().await.unwrap_err();
    assert!(matches!(error, SigningError::Ledger(_)), "{error}");
    assert!(bench.calls.all().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_fails_hands_out_nothing() {
    let bench = Bench::with(limits(8, 8), Some(SIGNED));
    let error = bench.enqueue("x").unwrap().result().await.unwrap_err();
    assert!(matches!(error, SigningError::Ledger(_)), "{error}");
    // I10: nothing more is reserved or signed.
    let error = bench.enqueue("y").unwrap().result().await.unwrap_err();
    assert!(matches!(error, SigningError::Ledger(_)), "{error}");
    assert_eq!(bench.calls.all(), [format!("{INTENT} x"), "sign x".to_owned()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_undoes_nothing() {
    let bench = Bench::new(limits(8, 8));
    drop(bench.enqueue("x").unwrap());
    assert_eq!(bench.calls_of(3).await.last().unwrap(), &format!("{SIGNED} x"));
}
