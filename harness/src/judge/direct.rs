//! A real program's output against the same output taken without a driver. (core)

use mock_driver::stream::Stream;
use sha2::{Digest, Sha256};

use super::fidelity::rule;
use super::figures::{count, number};
use super::timeline::Timeline;
use crate::finding::{Finding, Shape};
use crate::outcome::Verdict;
use crate::trace::Event;

/// Judges a stream by length and hash; `why` says why nothing else is possible.
pub(super) fn judge(
    timeline: &Timeline<'_>,
    stream: Stream,
    observed: &[u8],
    why: &str,
    verdict: &mut Verdict,
) {
    let direct = timeline.history.entries.iter().rev().find_map(|entry| {
        if let Event::Direct {
            stream: of,
            bytes,
            sha256,
        } = &entry.event
            && *of == stream
        {
            Some((*bytes, sha256))
        } else {
            None
        }
    });
    let Some((bytes, sha256)) = direct else {
        verdict.suite_errors.push(format!(
            "{stream} can't be compared: {why}, and there is no output taken directly"
        ));
        return;
    };
    let digest = Sha256::digest(observed);
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let seen = observed.len() as u64;
    if bytes == seen && hash.eq_ignore_ascii_case(sha256) {
        return;
    }
    let (shape, what) = match seen {
        0 => (
            Shape::LostAll,
            format!(
                "all {} lost: nothing of {stream} arrived",
                count(bytes as usize, "byte")
            ),
        ),
        _ if seen < bytes => (
            Shape::LostMiddle,
            format!(
                "{} of {stream} lost, of {}",
                count((bytes - seen) as usize, "byte"),
                number(bytes)
            ),
        ),
        _ if seen > bytes => (
            Shape::Added,
            format!(
                "{stream} has {} too many",
                count((seen - bytes) as usize, "byte")
            ),
        ),
        _ => (
            Shape::Altered,
            format!(
                "{stream} has the right length, {}, but other bytes",
                count(bytes as usize, "byte")
            ),
        ),
    };
    verdict.findings.push(Finding {
        shape,
        rule: rule(timeline, shape),
        stream: Some(stream),
        headline: what,
        details: vec![
            format!("taken directly: {} bytes, sha256 {sha256}", number(bytes)),
            format!("in the log:     {} bytes, sha256 {hash}", number(seen)),
        ],
    });
}
