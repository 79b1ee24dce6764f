//! The command line: see `countersign help`.

fn main() {}
