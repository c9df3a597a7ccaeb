//! Carries checkpoints to the witnesses, and their answers to the signer, which alone judges them.

use std::time::Duration;

use tokio::time::{interval, timeout};

use crate::http;
use crate::wire::Client;
use crate::wire::frontend::{Request, Response, WitnessAnswer, WitnessWork};

/// How often the signer is asked whether there is something to carry.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a witness may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest refusal that is handed on, in characters.
const LONGEST_REFUSAL: usize = 200;

/// Carries until it is dropped.
pub(super) async fn carry(signer: Client<Request>) {
    let mut every = interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        // A signer that is away has nothing to carry; the connection's own task reports it.
        let Ok(Response::WitnessWork(work)) = signer.call(Request::WitnessWork).await else {
            continue;
        };
        let mut under_way = tokio::task::JoinSet::new();
        for work in work {
            let signer = signer.clone();
            under_way.spawn(async move {
                let answer = ask(work).await;
                if let Err(e) = signer.call(Request::WitnessAnswer(answer)).await {
                    log::warn!("a witness's answer was not handed on: {e}");
                }
            });
        }
        // One that hangs must not hold up the others' next checkpoint for longer than it may take.
        let all = async { while under_way.join_next().await.is_some() {} };
        if timeout(PATIENCE * 2, all).await.is_err() {
            log::warn!("an answer of a witness could not be handed on in time");
        }
    }
}

async fn ask(work: WitnessWork) -> WitnessAnswer {
    let WitnessWork { index, size, url, body } = work;
    let (status, body) = match http::post(&url, body, PATIENCE).await {
        Ok((status @ (200 | 409), body)) => (status, body),
        Ok((status, body)) => {
            let plain = body.chars().filter(|c| !c.is_control());
            (status, plain.take(LONGEST_REFUSAL).collect())
        }
        Err(why) => (0, why),
    };
    WitnessAnswer { index, size, status, body }
}
