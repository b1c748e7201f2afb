//! The names of signals (core).

use nix::sys::signal::Signal as Named;
use rustix::process::Signal;

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
    fn what_names_no_signal_gives_none() {
        for name in ["", "SIG", "SIGTREM", "0", "-1", "65", "SIGSIGTERM", "T ERM"] {
            assert_eq!(named(name), None, "{name:?}");
        }
    }
}
