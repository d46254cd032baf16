//! Which run this is, and whether it is new, goes on, or is complete.

use std::time::SystemTime;

use loadline_core::Model;
use loadline_core::record::{EvalSpec, RECORD_FORMAT};
use loadline_evidence::{RecordReader, RecordWriter, RunState, Store};
use loadline_stats::Level;

use super::error::RunError;
use super::options::RunOptions;
use crate::results::{self, ResultsError, RunResults, Table};
use crate::task::{Scorer, Task};
