//! The signal state that the process was started with, noted before the runtime changes it: an
//! edge.
//!
//! Rust's runtime ignores SIGPIPE before `main`, so that a driver that hands on an ignored SIGPIPE
//! (contract FIFO-11) could not be told from a good one afterwards. One function in the list of
//! initialisers looks first.

use std::sync::OnceLock;

/// Numbers of the signals that the process was started with ignored and blocked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Inherited {
    pub(crate) ignored: Vec<u8>,
    pub(crate) blocked: Vec<u8>,
}

static INHERITED: OnceLock<Inherited> = OnceLock::new();

/// What the process was started with.
pub(crate) fn inherited() -> &'static Inherited {
    INHERITED.get_or_init(now)
}

extern "C" fn note() {
    INHERITED.get_or_init(now);
}

// SAFETY: the loader calls every entry of `.init_array` once, as a C function, before `main` and
// on the only thread; `note` only reads a file, and std's files need no set-up by the runtime.
#[expect(
    unsafe_code,
    reason = "nothing else on stable Rust runs before the runtime ignores SIGPIPE"
)]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = note;

/// The state now; empty where /proc is missing.
fn now() -> Inherited {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse(&status)
}

fn parse(status: &str) -> Inherited {
    let set = |key: &str| {
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0);
        (1..=64).filter(|n| mask >> (n - 1) & 1 == 1).collect()
    };
    Inherited {
        ignored: set("SigIgn:"),
        blocked: set("SigBlk:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_of_proc_become_signal_numbers() {
        let status = "Name:\tx\nSigBlk:\t0000000000004000\nSigIgn:\t0000000000001001\n";
        let expected = Inherited {
            ignored: vec![1, 13],
            blocked: vec![15],
        };
        assert_eq!(parse(status), expected);
        assert_eq!(parse(""), Inherited::default());
    }
}
