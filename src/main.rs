//! The `bootwright` command.

use std::process::ExitCode;

/// glibc's keeps for each thread what that thread has freed: after a reload of 100,000 hosts as much again as is in
/// use. Each packet costs some thirty allocations, too, which take it a third longer (docs/performance.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything else may set a logger.
    bootwright::serve::tftp::install_tap();
    bootwright::cli::main()
}
