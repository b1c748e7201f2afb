//! Reports: what people and programs read. (re-exports only; every module is a core)

mod annotations;
mod beside;
mod case_lines;
mod cause;
mod expected;
mod failure;
mod glimpse;
mod html;
mod json;
mod junit;
mod many;
mod markdown;
mod measure;
mod merge;
mod paint;
mod rerun;
mod rows;
mod rules;
mod standing;
mod summary;
mod swept;
mod tap;
mod timeline;
mod told;
mod words;

pub use annotations::annotations;
pub use beside::PassesHere;
pub use case_lines::CaseLines;
pub use cause::LikelyCause;
pub use expected::{expected_lines, renewing};
pub use failure::{attempt_head, failure_head, failure_text, focus, waiting, whole_text};
pub use glimpse::{Glimpse, glimpse};
pub use html::html;
pub use json::{
    ExpectationFacts, ListedEntry, REPORT_VERSION, Report, ShardFacts, StaleEntry, SubjectFacts,
};
pub use junit::junit;
pub(crate) use many::many_row;
pub use markdown::markdown;
pub use measure::no_measure;
pub use merge::{MergeError, NamedReport, merge};
pub use paint::Paint;
pub use rerun::{repro, rerun};
pub(crate) use rows::journal_text;
pub use rules::{explain_case, explain_rule};
pub use standing::standing;
pub use summary::{case_line, plain_end, summary};
pub use tap::tap;
pub use timeline::{Extent, timeline};
pub use words::{bytes, cut, grouped, hanging, plan_words, step_words, wrapped};
pub(crate) use words::{ended, row_of_signal};

#[cfg(test)]
mod merge_tests;
#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
