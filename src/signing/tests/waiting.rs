//! Who waits, who is refused, who goes first, and the end.

use std::time::Duration;

use super::fakes::{Bench, NOW, limits};
use crate::signing::{Class, SigningError};

/// A bench whose only slot is taken by work that waits at the key.
async fn occupied(waiting: usize) -> (Bench, crate::signing::Permit) {
    let bench = Bench::new(limits(waiting, 1));
    bench.hsm.hold(true);
    let first = bench.enqueue("first").unwrap();
    assert_eq!(bench.calls_of(2).await.last().unwrap(), "sign first");
    (bench, first)
}

/// What went to the key, in its order.
fn signed(bench: &Bench) -> Vec<String> {
    let calls = bench.calls.all().into_iter();
    calls.filter_map(|c| Some(c.strip_prefix("sign ")?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_at_once() {
    let (bench, first) = occupied(2).await;
    let waiting = [bench.enqueue("a").unwrap(), bench.enqueue("b").unwrap()];
    assert!(matches!(bench.enqueue("c"), Err(SigningError::Full(2))));
    assert_eq!(bench.queue.waiting(), 2);
    bench.hsm.hold(false);
    first.result().await.unwrap();
    for permit in waiting {
        permit.result().await.unwrap();
    }
    // There is room again, and what was refused left no trace.
    bench.enqueue("d").unwrap().result().await.unwrap();
    assert_eq!(signed(&bench), ["first", "a", "b", "d"]);
    assert!(!bench.calls.all().iter().any(|call| call.ends_with(" c")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_work_is_not_reserved() {
    let bench = Bench::new(limits(8, 8));
    let mut work = bench.work("late");
    work.deadline = NOW.before(Duration::from_millis(1));
    let error = bench.queue.enqueue(work).unwrap().result().await.unwrap_err();
    assert!(matches!(error, SigningError::Expired), "{error}");
    let mut work = bench.work("just");
    work.deadline = NOW;
    bench.queue.enqueue(work).unwrap().result().await.unwrap();
    assert_eq!(signed(&bench), ["just"]);
    assert_eq!(bench.calls.all().len(), 3, "only one reservation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_goes_first_then_renewals_and_endpoints_take_turns() {
    let (bench, first) = occupied(16).await;
    let mut permits = vec![first];
    let mut add = |name: &str, endpoint: &str, class| {
        let mut work = bench.work(name);
        (work.endpoint, work.class) = (endpoint.into(), class);
        permits.push(bench.queue.enqueue(work).unwrap());
    };
    for name in ["a1", "a2", "a3"] {
        add(name, "a", Class::Enrolment);
    }
    add("b1", "b", Class::Enrolment);
    add("renewal", "b", Class::Renewal);
    add("crl", "a", Class::Status);
    bench.hsm.hold(false);
    for permit in permits {
        permit.result().await.unwrap();
    }
    assert_eq!(signed(&bench), ["first", "crl", "renewal", "a1", "b1", "a2", "a3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_under_way_than_there_are_slots() {
    let (bench, first) = occupied(8).await;
    let second = bench.enqueue("second").unwrap();
    assert_eq!(bench.calls_of(3).await.len(), 2, "the second is not even reserved");
    bench.hsm.hold(false);
    first.result().await.unwrap();
    second.result().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_finishes_what_was_taken_and_takes_no_more() {
    let (bench, first) = occupied(8).await;
    let second = bench.enqueue("second").unwrap();
    let queue = bench.queue.clone();
    let drained = tokio::spawn(async move { queue.drain().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(matches!(bench.enqueue("third"), Err(SigningError::Stopping)));
    assert!(!drained.is_finished(), "two are not finished");
    bench.hsm.hold(false);
    let limit = Duration::from_secs(5);
    tokio::time::timeout(limit, drained).await.expect("an end of the drain").unwrap();
    // The drain's end means that both are recorded.
    assert_eq!(bench.calls.all().len(), 6);
    first.result().await.unwrap();
    second.result().await.unwrap();
}
