//! The names of signals, and what one means to a program that has one task (core).

use nix::sys::signal::Signal as Named;
use rustix::process::Signal;

/// Those that stop the task. The default of each ends a process, signal(7), and would leave the task behind.
const STOPPING: [Named; 12] = [
    Named::SIGTERM,
    Named::SIGINT,
    Named::SIGHUP,
    Named::SIGQUIT,
    Named::SIGALRM,
    Named::SIGVTALRM,
    Named::SIGPROF,
    Named::SIGXCPU,
    Named::SIGIO,
    Named::SIGPWR,
    Named::SIGSTKFLT,
    // A service manager's watchdog sends it. abort(3) ends the program all the same.
    Named::SIGABRT,
];

/// Those that mean what a program makes of them.
const HANDED_ON: [Named; 2] = [Named::SIGUSR1, Named::SIGUSR2];

/// Those that do as the kernel does by default: the program has a fault, is to pause, or nothing happens. Nobody can
/// catch SIGKILL and SIGSTOP. Who sends one of a fault to an executor leaves its task behind.
pub(crate) const LEFT_ALONE: [Named; 15] = [
    Named::SIGKILL,
    Named::SIGSTOP,
    Named::SIGILL,
    Named::SIGTRAP,
    Named::SIGBUS,
    Named::SIGFPE,
    Named::SIGSEGV,
    Named::SIGSYS,
    Named::SIGPIPE,
    Named::SIGTSTP,
    Named::SIGTTIN,
    Named::SIGTTOU,
    Named::SIGCONT,
    Named::SIGWINCH,
    Named::SIGURG,
];

/// What a signal means to a program that has one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The task is to be stopped, by this signal.
    Stop(Named),
    /// It is for the task.
    HandOn(Named),
    /// A child has ended.
    Child,
    /// Nothing. A file is as large as it may be, which who writes to it is told; or whoever started the program has
    /// had the signal ignored.
    Nothing,
}

/// Says what a signal means, by its number, where the program was started with these ignored.
pub(crate) fn meaning(number: u32, ignored: u64) -> Meaning {
    let named = i32::try_from(number)
        .ok()
        .and_then(|number| Named::try_from(number).ok());
    // SIGCHLD is never ignored: then there would be no status of a child.
    if named == Some(Named::SIGCHLD) {
        return Meaning::Child;
    }
    if number
        .checked_sub(1)
        .is_some_and(|bit| ignored.checked_shr(bit).unwrap_or(0) & 1 == 1)
    {
        return Meaning::Nothing;
    }
    match named {
        Some(named) if STOPPING.contains(&named) => Meaning::Stop(named),
        Some(named) if HANDED_ON.contains(&named) => Meaning::HandOn(named),
        Some(_) => Meaning::Nothing,
        // One of the real-time signals, which have no name to send them by.
        None => Meaning::Stop(Named::SIGTERM),
    }
}

/// Which signals a process ignores, out of its `/proc/PID/status`, proc_pid_status(5): signal n is bit n - 1.
pub(crate) fn ignored(status: &str) -> Option<u64> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Gives the signal with this name: `SIGTERM`, `TERM`, in any case of letters, or its number in decimal.
/// Signals without a name, the real-time ones, are not among them.
pub(crate) fn named(name: &str) -> Option<Signal> {
    let upper = name.trim().to_ascii_uppercase();
    let number = match upper.parse::<i32>() {
        Ok(number) => number,
        Err(_) => Named::iterator().find(|signal| {
            let full = signal.as_str();
            full == upper || full.strip_prefix("SIG") == Some(upper.as_str())
        })? as i32,
    };
    Signal::from_named_raw(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_known_by_its_name_its_short_name_and_its_number() {
        for name in ["SIGTERM", "TERM", "sigterm", "term", "15", " 15 "] {
            assert_eq!(named(name), Some(Signal::TERM), "{name:?}");
        }
        assert_eq!(named("SIGKILL"), Some(Signal::KILL));
        assert_eq!(named("USR1"), Some(Signal::USR1));
    }

    #[test]
    fn what_would_end_a_program_stops_its_task_or_is_handed_on_to_it() {
        for named in Named::iterator() {
            let meant = meaning(named as u32, 0);
            let is_left_alone = LEFT_ALONE.contains(&named) || named == Named::SIGXFSZ;
            match meant {
                Meaning::Stop(by) => assert!(by == named && !is_left_alone, "{named}"),
                Meaning::HandOn(by) => assert!(by == named && HANDED_ON.contains(&by), "{named}"),
                Meaning::Child => assert_eq!(named, Named::SIGCHLD),
                Meaning::Nothing => assert!(is_left_alone, "{named}"),
            }
        }
        for real_time in [34, 64] {
            assert_eq!(meaning(real_time, 0), Meaning::Stop(Named::SIGTERM));
        }
    }

    #[test]
    fn what_the_program_was_started_to_ignore_means_nothing() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t8000000000010001\nSigCgt:\t0\n";
        let ignored = ignored(status).unwrap();
        assert_eq!(ignored, 1 << 63 | 1 << 16 | 1);
        for number in [1, 64] {
            assert_eq!(meaning(number, ignored), Meaning::Nothing);
        }
        assert_eq!(meaning(15, ignored), Meaning::Stop(Named::SIGTERM));
        assert_eq!(meaning(17, ignored), Meaning::Child);
        for text in ["", "SigIgn:\n", "SigIgn:\tx\n"] {
            assert_eq!(super::ignored(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_names_no_signal_gives_none() {
        for name in ["", "SIG", "SIGTREM", "0", "-1", "65", "SIGSIGTERM", "T ERM"] {
            assert_eq!(named(name), None, "{name:?}");
        }
    }
}
