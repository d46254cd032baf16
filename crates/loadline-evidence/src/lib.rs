//! The append-only durable record: write, resume, recover, seal, verify, prove, withhold.
//!
//! Start at [`Store`]: it makes and finds records. [`RecordWriter`] adds rows to one, [`RecordReader`] streams them,
//! [`verify()`] checks every byte, [`prove()`] and [`export_withheld`] let one sample be shown or left out.
//! [`endless`] is the same for a log that never ends: segments, callers that wait for the disk.
//!
//! `docs/formats/record.md` has the byte format and the table of what is on disk after a kill at each step.

mod appender;
mod buffer;
pub mod disk;
pub mod endless;
mod error;
mod files;
mod finite;
mod frame;
mod prove;
mod reader;
mod replay;
mod scan;
mod seal;
mod short;
mod store;
mod verify;
mod withhold;
mod writer;

pub use buffer::{RecordBuffer, RecordBytes};
pub use error::{Damage, FindError, RecordError};
pub use files::{write_private, write_whole};
pub use prove::{PROOF_FORMAT, ProofFault, RowProof, find_sample, prove, prove_sample};
pub use reader::{RawRow, RawRows, RecordReader, Rows};
pub use seal::{SEAL_FORMAT, Seal};
pub use short::ShortIds;
pub use store::{Resumed, RunState, RunSummary, Store};
pub use verify::{Streamed, Verified, verify, verify_stream};
pub use withhold::{Withheld, export_withheld};
pub use writer::RecordWriter;
