//! Core: the names in the manager's descriptor store, and which inherited descriptor is what.
//!
//! A name is `logmon.PART.KEY`. systemd takes at most 255 characters, no colon and no control
//! character; a key has none of these.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use super::key::Key;

/// The number of the first inherited descriptor (`sd_listen_fds(3)`).
const FIRST: RawFd = 3;
/// What is stored of one stream, in the order of a deposit.
pub(crate) const PARTS: [&str; 3] = ["fifo", "staging-read", "staging-write"];

/// Descriptors of one stream, in the order of a deposit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// The key that they are stored under.
    pub(crate) key: Key,
    /// The FIFO's read end, and both ends of the staging pipe if both are there.
    pub(crate) numbers: Vec<RawFd>,
}

/// Gives the name of one part of a key.
pub(crate) fn stored_name(part: &str, key: &Key) -> String {
    format!("logmon.{part}.{key}")
}

/// Reads the variables LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES of the process with this pid. What has
/// another name is somebody else's; of two with one name the last one counts.
pub(crate) fn inherited(
    own_pid: u32,
    listen_pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
) -> Vec<Inherited> {
    let is_for_us = listen_pid.and_then(|pid| pid.parse().ok()) == Some(own_pid);
    let count: usize = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    if !is_for_us {
        return Vec::new();
    }
    let mut parts: BTreeMap<Key, [Option<RawFd>; 3]> = BTreeMap::new();
    let names = names.unwrap_or_default().split(':').take(count);
    for (number, name) in (FIRST..).zip(names) {
        let found = name.strip_prefix("logmon.").and_then(|rest| {
            let (part, key) = rest.split_once('.')?;
            let part = PARTS.iter().position(|one| *one == part)?;
            Some((part, Key::parse(key.as_bytes())?))
        });
        if let Some((part, key)) = found {
            parts.entry(key).or_default()[part] = Some(number);
        }
    }
    parts
        .into_iter()
        .filter_map(|(key, [fifo, read, write])| {
            let mut numbers = vec![fifo?];
            if let Some((read, write)) = read.zip(write) {
                numbers.extend([read, write]);
            }
            Some(Inherited { key, numbers })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> Key {
        Key::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn parts_are_put_together_by_their_names() {
        let names =
            "logmon.staging-write.a.b:other:logmon.fifo.a.b:logmon.staging-read.a.b:logmon.fifo.c";
        assert_eq!(
            inherited(7, Some("7"), Some("5"), Some(names)),
            [
                Inherited {
                    key: key("a.b"),
                    numbers: vec![5, 6, 3]
                },
                Inherited {
                    key: key("c"),
                    numbers: vec![7]
                },
            ]
        );
    }

    #[test]
    fn what_was_meant_for_another_process_is_not_taken() {
        let names = Some("logmon.fifo.c");
        assert_eq!(inherited(7, Some("8"), Some("1"), names), []);
        assert_eq!(inherited(7, None, Some("1"), names), []);
        assert_eq!(inherited(7, Some("7"), None, names), []);
    }

    #[test]
    fn more_names_than_descriptors_are_not_believed() {
        let names = Some("logmon.fifo.a:logmon.fifo.b");
        let found = inherited(7, Some("7"), Some("1"), names);
        assert_eq!(
            found,
            [Inherited {
                key: key("a"),
                numbers: vec![3]
            }]
        );
    }

    #[test]
    fn half_a_staging_pipe_is_none() {
        let names = Some("logmon.fifo.a:logmon.staging-read.a");
        let found = inherited(7, Some("7"), Some("2"), names);
        assert_eq!(
            found,
            [Inherited {
                key: key("a"),
                numbers: vec![3]
            }]
        );
    }

    proptest! {
        #[test]
        fn no_number_is_given_twice_and_none_outside_of_the_count(
            count in 0_usize..9,
            names in "((logmon\\.(fifo|staging-read|staging-write)\\.[ab]|x)?:?){0,9}",
        ) {
            let found = inherited(1, Some("1"), Some(&count.to_string()), Some(&names));
            let mut numbers: Vec<_> = found.iter().flat_map(|one| one.numbers.clone()).collect();
            prop_assert!(numbers.iter().all(|n| (3..3 + count as i32).contains(n)));
            numbers.sort_unstable();
            let before = numbers.len();
            numbers.dedup();
            prop_assert_eq!(numbers.len(), before);
        }

        #[test]
        fn a_stored_name_is_one_that_the_manager_takes(text in "[a-zA-Z0-9._-]{1,64}") {
            for part in PARTS {
                let name = stored_name(part, &key(&text));
                prop_assert!(name.len() <= 255 && !name.contains(|c: char| c == ':' || c.is_control()));
            }
        }
    }
}
