//! What the system says of a process.

/// KiB of memory that a process holds.
pub fn resident_kib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Seconds of processor that a process has used, its own code and the kernel's for it.
pub fn cpu_s(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name before may hold anything; behind its bracket the fields are numbered from 3 on.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    // The unit of these fields on Linux for every architecture that this project is built for.
    ticks / 100.0
}

/// A figure for `cargo xtask bench`.
pub fn figure(name: &str, value: f64) {
    println!("{{\"figure\": \"{name}\", \"value\": {value:.3}}}");
}
