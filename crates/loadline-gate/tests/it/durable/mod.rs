//! What the gate keeps, on a disk in memory that fails at every step and on the real one.

mod audit;
mod damage;
mod erase;
mod faults;
mod golden;
mod keys;
mod kill;
mod quota;
mod receipts;
#[path = "../../../../loadline-evidence/tests/it/sim.rs"]
#[expect(dead_code, reason = "shared with the tests of the record, which use all of it")]
mod sim;
mod stops;
mod support;
mod witnesses;
