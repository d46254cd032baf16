//! Leaves the tables for unwinding out of the program where they can serve nothing: in the profile `small`, where a panic
//! ends the process at once. They are a twelfth of it. A build script is told of a profile no more than its `opt-level`,
//! and no other profile has `z`.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=no-unwinding.ld");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("OPT_LEVEL") == "z" && variable("CARGO_CFG_TARGET_OS") == "linux" {
        let script = Path::new(&variable("CARGO_MANIFEST_DIR")).join("no-unwinding.ld");
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr,-T,{}", script.display());
    }
}
