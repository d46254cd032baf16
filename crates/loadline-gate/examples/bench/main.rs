//! Measures the gate with everything on: keys, licence, quotas, the durable audit log. The gate, the upstream and the load
//! are three processes of this program on one machine.
//!
//! `cargo xtask bench gate`, or `cargo run --release -p loadline-gate --example bench -- run FOLDER`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "a measurement speaks and may panic"
)]

mod kills;
mod limits;
mod load;
mod mock;
mod subject;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["mock"] => mock::run(),
        ["gate", folder, upstream] => subject::run(folder.as_ref(), upstream),
        ["run", folder] => load::run(folder.as_ref(), false),
        ["kills", folder] => kills::run(folder.as_ref()),
        ["limits", folder] => limits::run(folder.as_ref()),
        ["run", folder, "stop"] => load::run(folder.as_ref(), true),
        _ => panic!(
            "usage: bench run FOLDER [stop] | kills FOLDER | limits FOLDER (a folder on the disk to measure)"
        ),
    }
}
