//! Which capabilities an isolated task has, capabilities(7) (core).
//!
//! Every task is bounded by the same few, whoever its user is. Root has them; another user has none of them but those
//! that were asked for by name, which it keeps over execve(2).

use std::fmt;
use std::str::FromStr;

/// The capabilities by their numbers, without `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What bounds a task that says nothing: what programs that change their user need, and nothing that reaches beyond
/// the files and processes of the task.
const DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The number of CAP_SYS_ADMIN, without which nothing is mounted.
pub(super) const SYS_ADMIN: u8 = 21;

/// One capability, or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Every one that the executor has.
    All,
    /// The one with this number.
    Number(u8),
}

impl FromStr for Capability {
    type Err = String;

    /// Reads `NET_RAW`, `CAP_NET_RAW` or `ALL`, in any case of letters.
    fn from_str(text: &str) -> Result<Capability, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name == "ALL" {
            return Ok(Capability::All);
        }
        let number = NAMES.iter().position(|one| *one == name);
        let number = number.and_then(|number| u8::try_from(number).ok());
        number
            .map(Capability::Number)
            .ok_or_else(|| "it is no capability; capabilities(7) lists them".into())
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Capability::All => f.write_str("ALL"),
            Capability::Number(number) => match NAMES.get(usize::from(*number)) {
                Some(name) => write!(f, "CAP_{name}"),
                None => write!(f, "{number}"),
            },
        }
    }
}

/// Why a task can't have capabilities as they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// The executor has not got it itself.
    #[error("the executor can't give {0}, which it has not got itself")]
    NotOwn(Capability),
    /// It was asked for both.
    #[error("{0} is both to be added and to be dropped")]
    Both(Capability),
}

/// The five sets of a process, each capability by the bit of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sets {
    pub(crate) bounding: u64,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) inheritable: u64,
    pub(crate) ambient: u64,
}

fn bit(number: u8) -> u64 {
    1 << number
}

fn defaults() -> u64 {
    let bits = DEFAULT.iter().filter_map(|name| match name.parse().ok()? {
        Capability::Number(number) => Some(bit(number)),
        Capability::All => None,
    });
    bits.fold(0, |set, bit| set | bit)
}

/// The capabilities that a task can have, of those that the executor has.
const KNOWN: u64 = (1 << NAMES.len()) - 1;

/// Gives the sets of a task. `own` are those that the executor has; of those that every task has, one that it has not
/// is left out.
pub(crate) fn sets(
    is_root: bool,
    add: &[Capability],
    drop: &[Capability],
    own: u64,
) -> Result<Sets, CapabilityError> {
    let own = own & KNOWN;
    let mut bounding = defaults() & own;
    let mut named = 0;
    for one in drop {
        match one {
            Capability::All => bounding = 0,
            Capability::Number(_) if add.contains(one) => return Err(CapabilityError::Both(*one)),
            Capability::Number(number) => bounding &= !bit(*number),
        }
    }
    for one in add {
        match one {
            Capability::All if drop.contains(one) => return Err(CapabilityError::Both(*one)),
            Capability::All => named |= own,
            Capability::Number(number) if own & bit(*number) == 0 => {
                return Err(CapabilityError::NotOwn(*one));
            }
            Capability::Number(number) => named |= bit(*number),
        }
    }
    // What is dropped by name stays dropped where all are added.
    for one in drop {
        if let Capability::Number(number) = one {
            named &= !bit(*number);
        }
    }
    bounding |= named;
    Ok(if is_root {
        Sets {
            bounding,
            permitted: bounding,
            effective: bounding,
            inheritable: 0,
            ambient: 0,
        }
    } else {
        Sets {
            bounding,
            permitted: named,
            effective: named,
            inheritable: named,
            ambient: named,
        }
    })
}

/// Gives the names of a set, as the configuration of a container has them.
pub(crate) fn names(set: u64) -> Vec<String> {
    let numbers =
        (0..u8::try_from(NAMES.len()).unwrap_or(u8::MAX)).filter(|one| set & bit(*one) != 0);
    numbers
        .map(|number| Capability::Number(number).to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caps(names: &[&str]) -> Vec<Capability> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn set(is_root: bool, add: &[&str], drop: &[&str]) -> Result<Sets, CapabilityError> {
        sets(is_root, &caps(add), &caps(drop), u64::MAX)
    }

    #[test]
    fn the_numbers_are_those_of_the_kernel() {
        let number = |name: &str| name.parse::<Capability>();
        assert_eq!(number("chown"), Ok(Capability::Number(0)));
        assert_eq!(number("CAP_SYS_ADMIN"), Ok(Capability::Number(SYS_ADMIN)));
        assert_eq!(number("MKNOD"), Ok(Capability::Number(27)));
        assert_eq!(number("Checkpoint_Restore"), Ok(Capability::Number(40)));
        assert_eq!(number("all"), Ok(Capability::All));
        assert!(number("CAP_ROOT").is_err() && number("").is_err());
        assert_eq!(Capability::Number(12).to_string(), "CAP_NET_ADMIN");
    }

    #[test]
    fn every_task_is_bounded_by_the_same_few_and_root_has_them() {
        let few = 0xa804_05fb;
        let root = set(true, &[], &[]).unwrap();
        assert_eq!(
            (root.bounding, root.permitted, root.effective),
            (few, few, few)
        );
        assert_eq!((root.inheritable, root.ambient), (0, 0));
        let other = set(false, &[], &[]).unwrap();
        assert_eq!(
            other,
            Sets {
                bounding: root.bounding,
                ..Sets::default()
            }
        );
    }

    #[test]
    fn another_user_has_exactly_what_was_asked_for_by_name() {
        let only = set(false, &["NET_BIND_SERVICE"], &["ALL"]).unwrap();
        let bit = 1 << 10;
        assert_eq!(
            only,
            Sets {
                bounding: bit,
                permitted: bit,
                effective: bit,
                inheritable: bit,
                ambient: bit
            }
        );
        assert_eq!(names(bit), ["CAP_NET_BIND_SERVICE"]);
    }

    #[test]
    fn all_are_those_that_the_executor_has() {
        let own = 0x1ff & !(1 << 3);
        let all = sets(true, &caps(&["ALL"]), &[], own).unwrap();
        assert_eq!((all.bounding, all.effective), (own, own));
        let but_kill = sets(true, &caps(&["ALL"]), &caps(&["KILL"]), own).unwrap();
        assert_eq!(but_kill.bounding, own & !(1 << 5));
        let lacking = sets(true, &caps(&["FOWNER"]), &[], own);
        assert_eq!(lacking, Err(CapabilityError::NotOwn(Capability::Number(3))));
        assert_eq!(sets(true, &[], &[], own).unwrap().bounding & (1 << 3), 0);
    }

    #[test]
    fn what_is_both_added_and_dropped_is_refused() {
        let both = Err(CapabilityError::Both(Capability::Number(5)));
        assert_eq!(set(true, &["KILL"], &["KILL"]), both);
        let all = Err(CapabilityError::Both(Capability::All));
        assert_eq!(set(true, &["ALL"], &["ALL"]), all);
    }

    fn some() -> impl Strategy<Value = Vec<Capability>> {
        let one = prop_oneof![
            Just(Capability::All),
            (0_u8..41).prop_map(Capability::Number)
        ];
        proptest::collection::vec(one, 0..5)
    }

    proptest! {
        #[test]
        fn no_set_is_larger_than_it_may_be(is_root in any::<bool>(), add in some(), drop in some(), own in any::<u64>()) {
            if let Ok(sets) = sets(is_root, &add, &drop, own) {
                prop_assert_eq!(sets.bounding & !own, 0, "beyond the executor's");
                prop_assert_eq!(sets.effective & !sets.permitted, 0);
                prop_assert_eq!(sets.permitted & !sets.bounding, 0);
                prop_assert_eq!(sets.ambient & !(sets.permitted & sets.inheritable), 0, "capabilities(7)");
                for one in &drop {
                    if let Capability::Number(number) = one {
                        prop_assert_eq!(sets.bounding & bit(*number), 0);
                    }
                }
            }
        }
    }
}
