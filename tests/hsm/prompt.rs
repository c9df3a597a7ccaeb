//! The PIN asked for on a terminal: nothing of it is echoed.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use chancery::cli::secrets::ask;

const MARK: &str = "CHANCERY_TEST_PROMPT";

#[test]
fn the_answer_is_not_echoed() {
    if std::env::var_os(MARK).is_some() {
        let pin = ask("PIN of token \"main\"").unwrap();
        println!("{}", if pin.ct_eq(b"24680135") { "as typed" } else { "something else" });
        return;
    }
    let test = format!(
        "{} prompt::the_answer_is_not_echoed --exact --nocapture",
        std::env::current_exe().unwrap().display()
    );
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--command", &test, "/dev/null"])
        .env(MARK, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    let mut output = terminal.stdout.take().unwrap();
    let mut byte = [0];
    while !seen.ends_with(b"PIN of token \"main\": ") {
        assert_eq!(output.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
        seen.extend(byte);
    }
    terminal.stdin.as_mut().unwrap().write_all(b"24680135\n").unwrap();
    output.read_to_end(&mut seen).unwrap();
    let status = terminal.wait().unwrap();
    let text = String::from_utf8_lossy(&seen);
    assert!(status.success() && text.contains("as typed"), "{text}");
    assert!(!text.contains("24680135"), "{text}");
}
