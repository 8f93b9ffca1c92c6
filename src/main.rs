//! The `bootwright` command.

fn main() {}
