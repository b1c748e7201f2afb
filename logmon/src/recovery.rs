//! Core: where to go on, from a listing of the log folder (contract MON-10, ROT-3, ROT-5, SEC-2).
//!
//! The folder is the only memory: what each entry means is decided here, and nothing else is asked.
//!
//! | entry with a name of this stream | meaning |
//! |---|---|
//! | canonical index, regular file, ours, one link | a log file: it counts for retention; the highest one is gone on with |
//! | canonical index, regular file, another owner or several links | foreign; it may hold newer output, so going on starts above it |
//! | canonical index, anything else (link, folder, FIFO, …) | foreign; it never held output, so its index is only skipped |
//! | `NAME.gaps`, `NAME.gaps.old` | what says what is missing in the log: no log file, left alone |
//! | no canonical index | foreign |
//!
//! A foreign entry is never opened, never counted and never deleted.

use std::collections::BTreeSet;

use crate::name::{MAX_INDEX, StreamName};

/// What an entry of the folder is, without following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    Regular,
    /// Anything else.
    Other,
}

/// Whose an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The user that logmon runs as.
    Ours,
    /// Somebody else.
    Other,
}

/// One entry of the log folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many names the file has.
    pub links: u64,
    /// Whose it is.
    pub owner: Owner,
}

/// The log file to append to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Its index.
    pub index: u32,
    /// Its length in bytes when it was listed.
    pub bytes: u64,
}

/// What the listing means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The file to go on with; none means that the next byte needs a new file.
    pub resume: Option<Resume>,
    /// The index of the next new file; above [`MAX_INDEX`] when there is none left.
    pub next_index: u32,
    /// The indices of all log files of the stream, those to delete included.
    pub retained: BTreeSet<u32>,
    /// The indices that retention deletes now, oldest first.
    pub delete: Vec<u32>,
    /// The names that begin with the stream's name and are not log files of it.
    pub foreign: Vec<Vec<u8>>,
}

/// Reads the listing. The order of the entries does not matter; `max_files` is at least 1.
#[must_use]
pub fn recover(name: &StreamName, max_files: usize, entries: &[Entry]) -> Recovery {
    let mut found = Recovery::default();
    let mut highest: Option<Resume> = None;
    let mut highest_doubtful: Option<u32> = None;
    let mut highest_any: Option<u32> = None;
    for entry in entries {
        let Some(index) = name.index_of(&entry.name) else {
            if name.is_prefix_of(&entry.name) && !name.is_gap_file(&entry.name) {
                found.foreign.push(entry.name.clone());
            }
            continue;
        };
        let usable = entry.owner == Owner::Ours && entry.links == 1;
        match (entry.kind, usable) {
            (EntryKind::Regular, true) => {
                found.retained.insert(index);
                if highest.is_none_or(|known| known.index < index) {
                    highest = Some(Resume {
                        index,
                        bytes: entry.bytes,
                    });
                }
            }
            (EntryKind::Regular, false) => {
                found.foreign.push(entry.name.clone());
                highest_doubtful = highest_doubtful.max(Some(index));
            }
            (EntryKind::Other, _) => found.foreign.push(entry.name.clone()),
        }
        highest_any = highest_any.max(Some(index));
    }
    found.resume =
        highest.filter(|known| highest_doubtful.is_none_or(|doubtful| doubtful < known.index));
    // Right after the file that is gone on with, so that the indices stay without a gap; an index that
    // turns out to be taken is skipped when it is used. Without such a file: above everything.
    found.next_index = match found.resume {
        Some(resume) => resume.index + 1,
        None => highest_any.map_or(0, |index| index + 1),
    };
    debug_assert!(
        found.next_index <= MAX_INDEX + 1,
        "an index has at most nine digits"
    );
    let excess = found.retained.len().saturating_sub(max_files);
    found.delete = found.retained.iter().copied().take(excess).collect();
    found.foreign.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;

    fn stream() -> StreamName {
        StreamName::parse(OsStr::new("web.stdout")).unwrap()
    }

    fn ours(name: &str, bytes: u64) -> Entry {
        Entry {
            name: name.into(),
            kind: EntryKind::Regular,
            bytes,
            links: 1,
            owner: Owner::Ours,
        }
    }

    fn link(name: &str) -> Entry {
        Entry {
            kind: EntryKind::Other,
            ..ours(name, 9)
        }
    }

    #[test]
    fn an_empty_folder_starts_at_index_0() {
        let found = recover(&stream(), 3, &[]);
        assert_eq!(found, Recovery::default());
    }

    #[test]
    fn it_goes_on_at_the_highest_index_by_number_and_not_by_text() {
        let found = recover(
            &stream(),
            9,
            &[
                ours("web.stdout.10", 7),
                ours("web.stdout.9", 5),
                ours("web.stdout.2", 1),
            ],
        );
        assert_eq!(
            found.resume,
            Some(Resume {
                index: 10,
                bytes: 7
            })
        );
        assert_eq!(found.next_index, 11);
        assert_eq!(found.delete, Vec::<u32>::new());
    }

    #[test]
    fn retention_at_start_deletes_the_oldest_first() {
        let entries: Vec<Entry> = (3..13)
            .map(|index| ours(&format!("web.stdout.{index}"), 5))
            .collect();
        assert_eq!(
            recover(&stream(), 2, &entries).delete,
            (3..11).collect::<Vec<u32>>()
        );
    }

    #[test]
    fn foreign_names_change_nothing_and_are_never_deleted() {
        let names = [
            "web.stdout.9223372036854775807",
            "web.stdout.18446744073709551615",
            "web.stdout.007",
            "web.stdout.+1",
            "web.stdout.-1",
            "web.stdout.1.stdout",
            "web.stdout.2147483648",
            "web.stderr.7",
            "readme",
        ];
        let mut entries: Vec<Entry> = names.iter().map(|name| ours(name, 5)).collect();
        entries.push(ours("web.stdout.1", 3));
        let found = recover(&stream(), 1, &entries);
        assert_eq!(found.resume, Some(Resume { index: 1, bytes: 3 }));
        assert_eq!((found.next_index, found.delete), (2, vec![]));
        assert_eq!(found.foreign.len(), 7);
    }

    #[test]
    fn the_files_that_tell_what_is_missing_are_no_log_files_and_not_foreign() {
        let entries = [
            ours("web.stdout.gaps", 300),
            ours("web.stdout.gaps.old", 65_000),
            ours("web.stdout.gaps.0", 5),
            ours("web.stdout.0", 3),
        ];
        let found = recover(&stream(), 1, &entries);
        assert_eq!(found.resume, Some(Resume { index: 0, bytes: 3 }));
        assert_eq!((found.next_index, found.delete), (1, vec![]));
        // A log file of the stream web.stdout.gaps.
        assert_eq!(found.foreign, [b"web.stdout.gaps.0".to_vec()]);
    }

    #[test]
    fn a_symbolic_link_or_folder_above_is_skipped_and_the_file_below_is_gone_on_with() {
        let found = recover(
            &stream(),
            3,
            &[ours("web.stdout.0", 3), link("web.stdout.1")],
        );
        assert_eq!(found.resume, Some(Resume { index: 0, bytes: 3 }));
        assert_eq!(found.foreign, [b"web.stdout.1".to_vec()]);
    }

    #[test]
    fn with_nothing_but_a_symbolic_link_it_starts_above_the_link() {
        let found = recover(&stream(), 3, &[link("web.stdout.4")]);
        assert_eq!((found.resume, found.next_index), (None, 5));
    }

    #[test]
    fn a_hard_link_or_a_file_of_somebody_else_above_makes_it_start_a_new_file_above() {
        let hard_link = Entry {
            links: 2,
            ..ours("web.stdout.5", 3)
        };
        let not_ours = Entry {
            owner: Owner::Other,
            ..ours("web.stdout.6", 3)
        };
        let found = recover(&stream(), 3, &[ours("web.stdout.4", 3), hard_link.clone()]);
        assert_eq!((found.resume, found.next_index), (None, 6));
        let found = recover(
            &stream(),
            1,
            &[ours("web.stdout.4", 3), hard_link, not_ours],
        );
        assert_eq!(
            (found.resume, found.next_index, found.delete),
            (None, 7, vec![])
        );
    }

    #[test]
    fn the_highest_index_of_all_leaves_none_to_go_on_to() {
        let found = recover(&stream(), 3, &[ours("web.stdout.999999999", 3)]);
        assert_eq!(found.next_index, MAX_INDEX + 1);
    }

    proptest! {
        #[test]
        fn what_is_deleted_is_ours_and_what_is_left_fits(
            indices in proptest::collection::btree_set(0u32..40, 0..20),
            odd in proptest::collection::vec((0u32..40, 0u8..3), 0..10),
            max_files in 1usize..6,
        ) {
            let mut entries: Vec<Entry> = indices.iter().map(|i| ours(&format!("web.stdout.{i}"), 1)).collect();
            for (index, way) in odd {
                let name = format!("web.stdout.{index}");
                entries.retain(|entry| entry.name != name.as_bytes());
                entries.push(match way {
                    0 => link(&name),
                    1 => Entry { links: 2, ..ours(&name, 1) },
                    _ => Entry { owner: Owner::Other, ..ours(&name, 1) },
                });
            }
            let found = recover(&stream(), max_files, &entries);
            let is_ours = |index: &u32| entries.iter().any(|entry| {
                entry.name == stream().file_name(*index).as_bytes()
                    && entry.kind == EntryKind::Regular && entry.links == 1 && entry.owner == Owner::Ours
            });
            prop_assert!(found.delete.iter().all(is_ours));
            prop_assert!(found.retained.len() - found.delete.len() <= max_files);
            prop_assert!(found.delete.is_empty() || found.retained.len() - found.delete.len() == max_files);
            if let Some(resume) = found.resume {
                prop_assert!(is_ours(&resume.index));
                prop_assert!(!found.delete.contains(&resume.index));
                prop_assert_eq!(Some(&resume.index), found.retained.last());
            }
            prop_assert!(found.retained.iter().all(|index| *index < found.next_index));
            entries.reverse();
            prop_assert_eq!(found, recover(&stream(), max_files, &entries));
        }
    }
}
