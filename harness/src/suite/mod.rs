//! The suite: which cases apply to a subject, how they are run side by side, and what became of
//! them. (re-exports only)

mod budget;
mod bundle;
mod collect;
mod fewer;
mod honesty;
mod machine;
mod out;
mod play;
mod probe;
mod resolved;
mod result;
mod run;
mod running;
mod select;
mod shard;
mod single;
mod subject;
mod sweep;

pub use budget::Budget;
pub use bundle::Bundle;
pub(crate) use collect::shipped_scenario;
pub use collect::{CollectError, shipped_files, shipped_scenarios, user_scenarios};
pub use fewer::{Fewer, fewer};
pub(crate) use machine::CASE_WORD;
pub use machine::{Machine, Stop};
pub use out::{Keep, OutDir, OutError, require_programs};
pub use play::{Attempt, PlayRequest, error_chain, play_once, run_id};
pub use probe::{Probe, ProbeFailure, probe};
pub(crate) use resolved::resolved;
pub use result::{CaseResult, Counts, Skip, ending, settle};
pub use run::{
    ENDED_BY_FAIL_FAST, INTERRUPTED, NO_VERDICT, OUT_OF_TIME, Progress, SuiteRun, run_suite,
};
pub(crate) use run::{case_deadline, from_here};
pub use running::running_cases;
pub use select::{Choice, Filter, FilterError, Selected, choose, of_shard, select};
pub use shard::{ANOTHER_SHARD, Shard, ShardError};
pub use single::{Turns, play_single};
pub use subject::{Subject, SubjectError};
pub use sweep::{CANT_SWEEP, SweptCase, note_sweep, sweep, swept_named};
