//! Changes one byte of a complete bundle, so many times, and says how many of the changes were accepted: none must be.
//!
//! `cargo run --release -p loadline-exam --features fixture --example change_bytes -- 10000`

use std::io::Write as _;

use loadline_exam::fixture::change::next;
use loadline_exam::fixture::{Fault, Plan, make};
use loadline_exam::{Anchor, verify};

fn main() -> Result<(), Fault> {
    let changes: u64 = std::env::args().nth(1).unwrap_or_else(|| "10000".to_owned()).parse()?;
    let fixture = make(&Plan::default())?;
    let anchor = Anchor { root: Some(fixture.root), ..Anchor::at(fixture.now) };
    let mut bundle = fixture.bundle()?;
    let (mut state, mut accepted) = (7, 0_u64);
    let mut out = std::io::stdout().lock();
    for _ in 0..changes {
        let at = usize::try_from(next(&mut state) % bundle.len() as u64)?;
        let bits = u8::try_from(next(&mut state) % 255 + 1)?;
        bundle[at] ^= bits;
        if verify(bundle.as_slice(), &anchor).holds {
            accepted += 1;
            writeln!(out, "accepted: byte {at} ^ {bits}")?;
        }
        bundle[at] ^= bits;
    }
    writeln!(out, "{changes} changes of {} bytes, {accepted} accepted", bundle.len())?;
    if accepted == 0 { Ok(()) } else { Err("a change was accepted".into()) }
}
