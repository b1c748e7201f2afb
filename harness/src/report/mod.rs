//! Reports: what people and programs read. (re-exports only; every module is a core)

mod failure;
mod json;
mod junit;
mod many;
mod paint;
mod rules;
mod summary;
mod timeline;
mod words;

pub use failure::{failure_head, failure_text};
pub use json::{REPORT_VERSION, Report, SubjectFacts};
pub use junit::junit;
pub use paint::Paint;
pub use rules::{explain_case, explain_rule};
pub use summary::{case_line, summary};
pub use timeline::timeline;
pub use words::{bytes, cut, grouped, hanging, plan_words, step_words, wrapped};
