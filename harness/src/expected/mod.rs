//! Failures that are known and excused for a while: the file that lists them, what it makes of a
//! result, and its renewal from a report. (re-exports only; every module is a core)

mod decide;
mod file;
mod renewal;
mod rewrite;

pub use decide::{Expected, decide, is_excused, is_stale};
pub use file::{Entry, Expectations, MAX_CASES_OF_A_GLOB, Outcome, Problem};
pub use renewal::{Change, Renewal, RenewalError, renew};
pub use rewrite::RewriteError;
