//! Which signals a task that is the first process of its pid namespace does not get (core).
//!
//! The kernel drops a signal for such a process if its default action would be taken, unless it is SIGKILL or SIGSTOP
//! from outside of the namespace, pid_namespaces(7). So nobody need wait for what it does.

use rustix::process::Signal;

use super::needs::mask;

/// What is not ended by them if they are neither caught nor ignored, signal(7).
const HARMLESS: [Signal; 8] = [
    Signal::CHILD,
    Signal::CONT,
    Signal::URG,
    Signal::WINCH,
    Signal::STOP,
    Signal::TSTP,
    Signal::TTIN,
    Signal::TTOU,
];

/// True if a signal would end a process by its default action, and the first process of a namespace is not even told of
/// it. `status` is its `/proc/PID/status`. One that blocks a signal may take it later, and one that ignores it lives on
/// as anywhere else.
pub(crate) fn does_nothing(status: &str, signal: Signal) -> bool {
    if signal == Signal::KILL || HARMLESS.contains(&signal) {
        return false;
    }
    let bit = 1_u64 << (signal.as_raw() - 1);
    let is_in = |field: &str| mask(status, field).map(|set| set & bit != 0);
    ["SigCgt", "SigIgn", "SigBlk"]
        .iter()
        .all(|field| is_in(field) == Some(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(caught: u64, ignored: u64, blocked: u64) -> String {
        format!(
            "Name:\tsh\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\n"
        )
    }

    #[test]
    fn a_signal_that_is_neither_caught_nor_ignored_nor_blocked_does_nothing() {
        let term = 1 << 14;
        assert!(does_nothing(&status(0, 0, 0), Signal::TERM));
        assert!(does_nothing(&status(!term, !term, !term), Signal::TERM));
        for told in [status(term, 0, 0), status(0, term, 0), status(0, 0, term)] {
            assert!(!does_nothing(&told, Signal::TERM), "{told}");
            assert!(does_nothing(&told, Signal::INT), "{told}");
        }
    }

    #[test]
    fn what_ends_nobody_or_anybody_does_what_it_does_elsewhere() {
        for signal in [Signal::KILL, Signal::STOP, Signal::CHILD, Signal::WINCH] {
            assert!(!does_nothing(&status(0, 0, 0), signal), "{signal:?}");
        }
    }

    #[test]
    fn who_can_t_be_looked_at_is_given_its_time() {
        assert!(!does_nothing("", Signal::TERM));
        assert!(!does_nothing("SigCgt:\t0\nSigIgn:\t0\n", Signal::TERM));
    }
}
