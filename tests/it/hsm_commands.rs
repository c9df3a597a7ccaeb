//! `chancery hsm status` and `chancery hsm selftest` against the running signer.

use serde_json::Value;
use softhsm_test::instance::Instance;

use crate::away::token;

/// The answer in JSON and the exit status.
fn ask(instance: &Instance, command: &str) -> (Vec<Value>, Option<i32>) {
    let output = instance.command(&["hsm", command, "--json"]).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(&text).unwrap_or_else(|e| {
        panic!("{e}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    });
    (value, output.status.code())
}

#[test]
fn a_self_test_uses_each_key_and_notices_a_lost_token() {
    let instance = Instance::serve().unwrap();
    let before = ask(&instance, "status").0;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0]["problem"], Value::Null);
    assert_eq!(before[0]["without_session"], 0);
    assert!(before[0]["threads"].as_u64().unwrap() >= 1);
    let (tests, status) = ask(&instance, "selftest");
    assert_eq!(status, Some(0));
    let mut purposes: Vec<&str> = tests.iter().map(|t| t["purpose"].as_str().unwrap()).collect();
    purposes.sort_unstable();
    assert_eq!(purposes, ["CA signing", "RA decryption", "RA signing", "log signing"]);
    assert!(tests.iter().all(|t| t["good"] == true && t["micros"].as_u64().unwrap() > 0));
    let after = ask(&instance, "status").0;
    let operations = |status: &[Value]| status[0]["operations"].as_u64().unwrap();
    assert!(operations(&after) >= operations(&before) + 4, "the token was asked");

    let there = token(instance.folder()).expect("a token");
    std::fs::rename(&there, instance.folder().join("away")).unwrap();
    let (tests, status) = ask(&instance, "selftest");
    assert_eq!(status, Some(7));
    assert!(tests.iter().all(|t| t["good"] == false && t["problem"].is_string()), "{tests:?}");
    let problem = ask(&instance, "status").0[0]["problem"].to_string();
    assert!(problem.contains("away"), "{problem}");
    let text = instance.ask(&["hsm", "status"]).unwrap();
    assert!(text.contains("state:") && text.contains("away"), "{text}");
}
