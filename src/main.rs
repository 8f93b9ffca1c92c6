//! The `bootwright` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else may set a logger.
    bootwright::serve::tftp::install_tap();
    bootwright::cli::main()
}
