//! The `chancery` binary: hands over to [`chancery::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    chancery::cli::main()
}
