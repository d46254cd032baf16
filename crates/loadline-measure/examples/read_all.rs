//! Reads every task file of some folders and says what can be run and why the rest cannot:
//! `cargo run --release --example read_all -- FOLDER…`. Tab-separated: kind, name, output type, reasons.

#[expect(clippy::print_stdout, reason = "an example for the terminal")]
fn main() -> Result<(), loadline_measure::TaskError> {
    let folders: Vec<_> = std::env::args_os().skip(1).map(Into::into).collect();
    let library = loadline_measure::Library::scan(&folders)?;
    for entry in library.entries() {
        let output_type = entry.output_type.unwrap_or("-");
        println!("{:?}\t{}\t{output_type}\t{}", entry.kind, entry.name, entry.reasons.join("\t"));
    }
    for problem in library.problems() {
        println!("problem\t{problem}");
    }
    Ok(())
}
