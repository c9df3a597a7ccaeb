//! A token that has no room for more sessions (CKR_SESSION_COUNT) is used with those that it gives, and with
//! more once there is room.

use std::time::{Duration, Instant};

use softhsm_test::client::{Device, keys};
use softhsm_test::instance::{Instance, Options};

use crate::common::each_recorded_once;
use crate::shim::Shim;

/// How many threads of the token have no session.
fn without_session(instance: &Instance) -> u64 {
    let text = instance.ask(&["hsm", "status", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status[0]["problem"], serde_json::Value::Null, "{text}");
    status[0]["without_session"].as_u64().unwrap()
}

#[test]
fn a_token_with_little_room_is_used_with_what_it_gives() {
    let mut instance = Instance::create(&Options::default()).unwrap();
    let shim = Shim::before(&instance);
    instance
        .configure(|text| text.replace("[token.main]\n", "[token.main]\nworkers = 6\n"))
        .unwrap();
    instance.start().unwrap();
    let server = instance.server().unwrap();
    // Nobody is told to come back: what a thread without a session took goes to one that has one.
    let enrol = |round: &str| {
        let keys = keys::many_rsa(8).unwrap();
        let all = std::thread::scope(|scope| {
            let device = |(n, key): (usize, &keys::Key)| {
                let name = format!("{round} {n}");
                let (server, challenge) = (&server, &instance.challenge);
                let key = key.clone();
                scope.spawn(move || {
                    let device = Device::with_key(key, &name).unwrap();
                    let reply = server.enrol(&device, &name, challenge).unwrap();
                    reply.certificate().expect("a certificate").clone()
                })
            };
            let devices: Vec<_> = keys.iter().enumerate().map(device).collect();
            devices.into_iter().map(|d| d.join().unwrap()).collect::<Vec<_>>()
        });
        each_recorded_once(&instance, &all);
    };
    enrol("before");
    assert_eq!(without_session(&instance), 0);
    // One for the login, two for the threads.
    shim.rules("max_sessions=3\nkill_sessions=1");
    let start = Instant::now();
    while without_session(&instance) == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "no thread missed a session");
        instance.ask(&["hsm", "selftest"]).unwrap();
    }
    enrol("meanwhile");
    instance.ask(&["hsm", "selftest"]).unwrap();
    assert!(instance.logs().contains("CKR_SESSION_COUNT"), "{}", instance.logs());
    shim.rules("");
    let start = Instant::now();
    while without_session(&instance) > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "they do not try again");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(instance.logs().contains("there is room for a session again"));
    enrol("after");
    instance.ask(&["ledger", "verify"]).unwrap();
}
