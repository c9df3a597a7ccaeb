//! `softhsm-test`: disposable tokens, CAs and instances on the command line.

use std::process::ExitCode;

use clap::Parser as _;

mod commands;

fn main() -> ExitCode {
    match commands::Arguments::parse().run() {
        Ok(code) => code,
        Err(e) => {
            eprintln!("softhsm-test: {e}");
            ExitCode::FAILURE
        }
    }
}
