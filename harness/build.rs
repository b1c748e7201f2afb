//! How the program is linked.
//!
//! A run starts it some thousand times: as a driver, as a task, as a logmon. As a position-independent program
//! with its libraries it has some 150,000 addresses to relocate at each start, which takes longer than what
//! most of these processes do. A static program is told by whoever builds it how it is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of_target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    let is_static = of_target("FEATURE")
        .split(',')
        .any(|one| one == "crt-static");
    if of_target("OS") == "linux" && of_target("ENV") == "gnu" && !is_static {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
