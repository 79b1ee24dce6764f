//! The program on each machine. Reads its configuration, then drives [`countersign_agent`].

fn main() {}
