//! `harness self-test`. (edge)

use super::args::SelfTestArgs;
use super::refusal::Refusal;
use crate::outcome::Ending;

/// Runs the suite against the good and the faulty subjects.
pub(super) fn self_test(_args: &SelfTestArgs) -> Result<Ending, Refusal> {
    Err(Refusal::new(Ending::SuiteBug, "self-test is not built in"))
}
