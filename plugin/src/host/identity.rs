//! When a process started, which tells it from a later one of the same number (core): what the kernel
//! writes into `/proc/PID/stat`, see proc_pid_stat(5).

/// When a process started, in clock ticks since the machine did.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Birth(pub u64);

/// Why `/proc/PID/stat` says nothing.
#[derive(Debug, thiserror::Error)]
pub enum StatError {
    /// It cannot be read.
    #[error("read /proc/{pid}/stat")]
    Read {
        /// The process.
        pid: i32,
        /// Why.
        source: std::io::Error,
    },
    /// It does not look as expected.
    #[error("understand {0} as the state of a process")]
    Format(String),
}

/// A process as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// The name of its program, at most 15 bytes.
    pub(super) name: String,
    /// It has ended, and nobody has asked how.
    pub(super) is_zombie: bool,
    pub(super) birth: Birth,
}

impl Stat {
    /// Reads the line. The name may have anything in it, parentheses too.
    pub(super) fn parse(line: &str) -> Result<Self, StatError> {
        let parts = || {
            let (start, rest) = line.rsplit_once(')')?;
            let (_, name) = start.split_once('(')?;
            let mut fields = rest.split_ascii_whitespace();
            let is_zombie = matches!(fields.next()?, "Z" | "X");
            // The state is field 3, the start is field 22.
            let birth = Birth(fields.nth(18)?.parse().ok()?);
            let name = name.to_owned();
            Some(Self {
                name,
                is_zombie,
                birth,
            })
        };
        parts().ok_or_else(|| StatError::Format(crate::shown::shown(line.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_may_have_parentheses_and_the_start_is_field_22() {
        let fields = "0 1 1 1 -1 4194560 2 0 0 0 0 0 0 0 20 0 1 0 778899 5 6";
        let stat = Stat::parse(&format!("42 (a) S (b) S {}", &fields[2..])).unwrap();
        assert_eq!(stat.name, "a) S (b");
        assert!(!stat.is_zombie);
        let stat = Stat::parse(&format!("42 (x) Z {fields}")).unwrap();
        assert!(stat.is_zombie);
        assert_eq!(stat.birth, Birth(778_899));
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for line in ["", "42", "42 (x)", "42 (x) S 1 2 3"] {
            assert!(Stat::parse(line).is_err(), "{line}");
        }
    }
}
