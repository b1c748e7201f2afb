//! Names in a folder: what stands at a path, and the log folder as it is. (edge)

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::trace::LookEntry;

/// What stands at a path, links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `fifo`, `regular file`, `folder`, `symbolic link`, `socket`, `device` or `nothing`.
    pub kind: &'static str,
    /// The device; 0 with nothing there.
    pub dev: u64,
    /// The inode; 0 with nothing there.
    pub ino: u64,
    /// Permission bits.
    pub mode: u32,
}

/// Looks at what stands at a path.
#[must_use]
pub fn standing(path: &Path) -> Standing {
    let Ok(facts) = fs::symlink_metadata(path) else {
        return Standing {
            kind: "nothing",
            dev: 0,
            ino: 0,
            mode: 0,
        };
    };
    let of = facts.file_type();
    let kind = if of.is_fifo() {
        "fifo"
    } else if of.is_file() {
        "regular file"
    } else if of.is_dir() {
        "folder"
    } else if of.is_symlink() {
        "symbolic link"
    } else if of.is_socket() {
        "socket"
    } else {
        "device"
    };
    Standing {
        kind,
        dev: facts.dev(),
        ino: facts.ino(),
        mode: facts.mode() & 0o7777,
    }
}

/// The names in a folder as they all stood there at one moment, in order; none if they change
/// faster than they can be read.
///
/// A listing is no snapshot: while it is read, a file that it has shown can be deleted and a later
/// one made, and both are in it, or neither. Names of log files do not come back, so what two
/// readings in a row show alike stood there together between them.
#[must_use]
pub fn look_at_once(folder: &Path) -> Option<Vec<LookEntry>> {
    const READINGS: usize = 6;
    let names = |entries: &[LookEntry]| -> Vec<(String, u64)> {
        let name = |entry: &LookEntry| (entry.name.clone(), entry.ino);
        entries.iter().map(name).collect()
    };
    let mut before = look(folder);
    for _ in 0..READINGS {
        let now = look(folder);
        if names(&now) == names(&before) {
            return Some(now);
        }
        before = now;
    }
    None
}

/// The names in a folder, in order, as one reading shows them; empty if it can't be read.
#[must_use]
pub fn look(folder: &Path) -> Vec<LookEntry> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.ok()?;
        // A file that was deleted since is no longer in the folder.
        let facts = entry.metadata().ok()?;
        let of = facts.file_type();
        let kind = if of.is_file() {
            "file"
        } else if of.is_dir() {
            "folder"
        } else if of.is_symlink() {
            "link"
        } else if of.is_fifo() {
            "fifo"
        } else {
            "other"
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        Some(LookEntry {
            name,
            kind: kind.into(),
            bytes: facts.len(),
            ino: facts.ino(),
        })
    };
    let mut entries: Vec<LookEntry> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(entry)
        .collect();
    entries.sort();
    entries
}

/// The index of a stream's file: 3 for `demo.stdout.3`; none for any other name.
fn index_of(name: &str, stream_name: &str) -> Option<u64> {
    let digits = name.strip_prefix(stream_name)?.strip_prefix('.')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    (plain && canonical).then(|| digits.parse().ok()).flatten()
}

/// A stream's regular files in a folder, in the order of their indices.
#[must_use]
pub fn stream_files(folder: &Path, stream_name: &str) -> Vec<(u64, PathBuf)> {
    let file = |entry: LookEntry| {
        let index = index_of(&entry.name, stream_name).filter(|_| entry.kind == "file")?;
        Some((index, folder.join(entry.name)))
    };
    let mut files: Vec<(u64, PathBuf)> = look(folder).into_iter().filter_map(file).collect();
    files.sort();
    files
}

/// Bytes in all of a stream's files.
#[must_use]
pub fn stream_bytes(entries: &[LookEntry], stream_name: &str) -> u64 {
    let of_stream =
        |entry: &&LookEntry| entry.kind == "file" && index_of(&entry.name, stream_name).is_some();
    entries
        .iter()
        .filter(of_stream)
        .map(|entry| entry.bytes)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_indices_of_regular_files_belong_to_a_stream() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.10", "a.9", "a.09", "a.x", "a.", "ab.1", "a.1.gz"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("a.3")).unwrap();
        let indices: Vec<u64> = stream_files(folder.path(), "a")
            .into_iter()
            .map(|(index, _)| index)
            .collect();
        assert_eq!(indices, [9, 10]);
        assert_eq!(stream_bytes(&look(folder.path()), "a"), 7);
        assert_eq!(look(folder.path()).len(), 8);
    }

    #[test]
    fn a_path_is_described_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert_eq!(standing(&link).kind, "symbolic link");
        assert_eq!(standing(folder.path()).kind, "folder");
        assert_eq!(
            standing(&folder.path().join("none")),
            Standing {
                kind: "nothing",
                dev: 0,
                ino: 0,
                mode: 0
            }
        );
    }

    #[test]
    fn a_look_at_once_never_shows_what_did_not_stand_there_together() {
        use std::sync::atomic::{AtomicBool, Ordering};
        // A rotation that keeps three files: the next is made only when the oldest is deleted.
        let folder = tempfile::tempdir().unwrap();
        let name = |index: u32| folder.path().join(format!("a.{index}"));
        for index in 0..3 {
            std::fs::write(name(index), "x").unwrap();
        }
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for index in 3..4_000 {
                    std::fs::remove_file(name(index - 3)).unwrap();
                    std::fs::write(name(index), "x").unwrap();
                }
                is_over.store(true, Ordering::Relaxed);
            });
            while !is_over.load(Ordering::Relaxed) {
                let Some(entries) = look_at_once(folder.path()) else {
                    continue;
                };
                let mut indices: Vec<u32> = entries
                    .iter()
                    .map(|entry| entry.name[2..].parse().unwrap())
                    .collect();
                indices.sort_unstable();
                assert!((2..=3).contains(&indices.len()), "{indices:?}");
                let in_a_row = indices.windows(2).all(|pair| pair[0] + 1 == pair[1]);
                assert!(in_a_row, "{indices:?}");
            }
        });
    }
}
