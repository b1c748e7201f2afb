//! Edge: a file system that can be made to hang, as a disk that answers no more does it. It needs root, a
//! loop device, `mkfs.ext4`, `mount` and `fsfreeze`; where they are not to be had a test is skipped by
//! name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of the file system.
const DISK_BYTES: u64 = 16 << 20;

/// A mounted file system. It is taken away when it is dropped.
pub(crate) struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Makes one and mounts it on an empty folder. None where this machine does not allow that, which is
    /// printed with the name of the test.
    pub(crate) fn mount(place: &Path, test: &str) -> Option<Disk> {
        let image = place.with_extension("image");
        File::create(&image).unwrap().set_len(DISK_BYTES).unwrap();
        let made = does("mkfs.ext4", &[Path::new("-q"), &image])
            && does(
                "mount",
                &[Path::new("-o"), Path::new("loop"), &image, place],
            );
        if !made {
            // Not by `eprintln!`, which is shown of a test that fails only.
            let text = format!("SKIPPED {test}: no file system can be mounted here (needs root)\n");
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return None;
        }
        Some(Disk {
            place: place.to_owned(),
        })
    }

    /// What writes to it hangs until the guard is dropped. Drop that before what is waited for: not even
    /// SIGKILL ends a process that hangs.
    #[must_use]
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        assert!(does("fsfreeze", &[Path::new("-f"), &self.place]));
        Frozen { place: &self.place }
    }
}

/// A file system that hangs.
pub(crate) struct Frozen<'a> {
    place: &'a Path,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        does("fsfreeze", &[Path::new("-u"), self.place]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: who wrote to it may not have ended yet.
        does("umount", &[Path::new("-l"), &self.place]);
    }
}

fn does(program: &str, words: &[&Path]) -> bool {
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// How long a thread must be seen to hang: one that waits for a page does so for a moment only.
const SEEN: Duration = Duration::from_millis(200);

/// True when a thread of the process hangs in the kernel, as far as can be seen.
pub(crate) fn hangs(pid: u32) -> bool {
    let begun = Instant::now();
    let mut hanging = in_the_kernel(pid);
    while !hanging.is_empty() && begun.elapsed() < SEEN {
        hanging = &hanging & &in_the_kernel(pid);
    }
    !hanging.is_empty()
}

/// The threads in state `D` (`proc_pid_stat(5)`).
fn in_the_kernel(pid: u32) -> BTreeSet<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let is_there = |path: &Path| {
        std::fs::read_to_string(path.join("stat")).is_ok_and(|stat| {
            stat.rsplit_once(") ")
                .is_some_and(|(_, rest)| rest.starts_with('D'))
        })
    };
    threads
        .into_iter()
        .flatten()
        .flatten()
        .filter(|thread| is_there(&thread.path()))
        .map(|thread| thread.file_name().to_string_lossy().into_owned())
        .collect()
}
