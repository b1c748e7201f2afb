//! Edge: a log folder on a file system that is full, under both policies (contract HEAL-1, HEAL-2).
//!
//! The folder is a small tmpfs in a mount namespace of logmon's own, which needs no root where user
//! namespaces are allowed (`user_namespaces(7)`). The test reaches it through `/proc/PID/root`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::gaps::{assert_exact, gaps, number, records};
use crate::subject::Logmon;
use crate::support::{LIMIT, Place, lines, log_files, wait_until, write_all};

/// Mounts a tmpfs of the size `$0` at `$1`, and becomes the rest.
const ON_A_SMALL_DISK: &str =
    r#"folder="$1" && shift && mount -t tmpfs -o "size=$0" none "$folder" && exec "$@""#;

/// A command that runs the script in a mount namespace of its own.
fn in_a_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "--"])
        .args(["sh", "-c", script]);
    command
}

fn on_a_small_disk(place: &Place, bytes: usize) -> Command {
    let mut command = in_a_namespace(ON_A_SMALL_DISK);
    command.arg(bytes.to_string()).arg(place.path("logs"));
    command
}

/// Where namespaces are refused this says so, with the name of the test.
fn may_mount(place: &Place) -> bool {
    let probe = on_a_small_disk(place, 4096)
        .arg("true")
        .stderr(Stdio::null())
        .status();
    let may = probe.is_ok_and(|status| status.success());
    if !may {
        let test = std::thread::current().name().unwrap_or("?").to_owned();
        // Not by the macro, whose output is shown only when a test fails.
        let told = format!("SKIPPED {test}: no user or mount namespace here\n");
        io::stderr().write_all(told.as_bytes()).unwrap();
    }
    may
}

/// A logmon with its disk.
struct SmallDisk {
    place: Place,
    logmon: Logmon,
    /// Keeps the disk when logmon has ended.
    folder: File,
}

impl SmallDisk {
    /// Starts it; none where namespaces are refused, and then that is said with the name of the test.
    fn start(bytes: usize, max_file_size: &str, policy: &str) -> Option<SmallDisk> {
        let place = Place::new();
        if !may_mount(&place) {
            return None;
        }
        let mut command = on_a_small_disk(&place, bytes);
        command.arg(env!("CARGO_BIN_EXE_logmon"));
        place.add_options(&mut command, "100", max_file_size);
        command.args(["--on-full", policy]);
        let logmon = place.start_command(command);
        let logs = place.path("logs");
        let logs = logs.strip_prefix("/").unwrap();
        let inside = PathBuf::from(format!("/proc/{}/root", logmon.pid())).join(logs);
        let folder = File::open(inside).unwrap();
        Some(SmallDisk {
            place,
            logmon,
            folder,
        })
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd()))
    }

    fn files(&self) -> Vec<(u64, Vec<u8>)> {
        log_files(&self.folder(), "demo.stdout")
    }

    fn log(&self) -> Vec<u8> {
        self.files()
            .into_iter()
            .flat_map(|(_, bytes)| bytes)
            .collect()
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut ballast = File::options()
            .create(true)
            .append(true)
            .open(self.folder().join("ballast"))
            .unwrap();
        let full = loop {
            if let Err(error) = ballast.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    fn empty(&self) {
        fs::remove_file(self.folder().join("ballast")).unwrap();
    }
}

#[test]
fn under_drop_the_oldest_files_make_room_and_no_output_is_dropped() {
    let Some(disk) = SmallDisk::start(256 << 10, "20000", "drop") else {
        return;
    };
    let foreign = disk.folder().join("demo.stdout.1.gz");
    fs::write(&foreign, "foreign").unwrap();
    let input = lines(0, 10_000);
    write_all(&disk.place.writer(), &input);
    wait_until("all is written", || {
        disk.log().ends_with(&input[input.len() - 10_000..])
    });
    let (folder, files) = (disk.folder(), disk.files());
    let SmallDisk {
        place,
        logmon,
        folder: _held,
    } = disk;
    assert_eq!(logmon.stop().0, Some(0));
    let log: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(log.len() > 160_000, "{} bytes are left", log.len());
    assert!(input.ends_with(&log), "the log is no suffix of the input");
    let first_kept = files[0].0;
    assert!(first_kept > 30, "{first_kept}");
    let sum = |key| {
        records(&folder)
            .iter()
            .map(|record| number(record, key))
            .sum::<usize>()
    };
    assert_eq!(sum("deleted_files") as u64, first_kept);
    assert_eq!(sum("deleted_bytes"), input.len() - log.len());
    let ranges: Vec<(usize, usize)> = records(&folder)
        .iter()
        .map(|record| (number(record, "first_index"), number(record, "last_index")))
        .collect();
    assert_eq!(ranges[0].0, 0);
    assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
    assert_eq!(fs::read(&foreign).unwrap(), b"foreign");
    let told = place.diagnostics();
    assert!(told.contains("deleted for space"), "{told}");
    assert!(!told.contains("output was dropped"), "{told}");
}

/// Mounts a tmpfs at `$1` that takes no file, and becomes the rest. When the file `$0` is there, it mounts
/// another one over it, as a boot does that comes late to it.
const ON_A_DISK_THAT_COMES_LATE: &str = r#"come="$0"; folder="$1"; shift
    mount -t tmpfs -o nr_inodes=1 none "$folder" || exit 1
    { until [ -e "$come" ]; do sleep 0.02; done; mount -t tmpfs none "$folder"; } >/dev/null &
    exec "$@""#;

#[test]
fn a_file_system_that_is_mounted_over_one_without_room_gets_the_first_file() {
    let place = Place::new();
    if !may_mount(&place) {
        return;
    }
    let come = place.path("come");
    let mut command = in_a_namespace(ON_A_DISK_THAT_COMES_LATE);
    command
        .arg(&come)
        .arg(place.path("logs"))
        .arg(env!("CARGO_BIN_EXE_logmon"));
    place.add_options(&mut command, "100", "1MiB");
    let logmon = place.start_command(command);
    write_all(&place.writer(), &lines(0, 3));
    wait_until("it says so", || {
        place.diagnostics().contains("takes no bytes")
    });
    fs::write(come, "").unwrap();
    let logs = place.path("logs");
    let logs = logs.strip_prefix("/").unwrap();
    let inside = PathBuf::from(format!("/proc/{}/root", logmon.pid())).join(logs);
    wait_until("all is in the folder at the path", || {
        log_files(&inside, "demo.stdout") == [(0, lines(0, 3))]
    });
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn under_drop_output_is_dropped_only_when_no_rotated_file_is_left() {
    let Some(disk) = SmallDisk::start(512 << 10, "50000", "drop") else {
        return;
    };
    let writer = disk.place.writer();
    let mut input = lines(0, 1700);
    write_all(&writer, &input);
    wait_until("it is written", || disk.log() == input);
    assert_eq!(disk.files().len(), 4);
    disk.fill();
    // What the deletions set free is taken at once, so they don't help for long.
    wait_until("output is dropped", || {
        let more = lines(input.len() / 100, 100);
        let begun = Instant::now();
        write_all(&writer, &more);
        assert!(begun.elapsed() < LIMIT);
        input.extend(more);
        disk.fill();
        disk.place.diagnostics().contains("dropping output")
    });
    assert_eq!(disk.files().len(), 1, "the current file stays");
    disk.empty();
    wait_until("the gap is recorded", || !gaps(&disk.folder()).is_empty());
    let after = lines(input.len() / 100, 50);
    write_all(&writer, &after);
    input.extend(&after);
    wait_until("the new lines are there", || disk.log().ends_with(&after));
    let (folder, files) = (disk.folder(), disk.files());
    let SmallDisk {
        place: _place,
        logmon,
        folder: _held,
    } = disk;
    assert_eq!(logmon.stop().0, Some(0));
    let deleted: usize = records(&folder)
        .iter()
        .filter_map(|record| record.get("deleted_bytes"))
        .map(|bytes| usize::try_from(bytes.as_u64().unwrap()).unwrap())
        .sum();
    assert!(deleted > 0);
    assert_exact(&input[deleted..], &files, &gaps(&folder));
}

#[test]
fn block_deletes_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::start(512 << 10, "50000", "block") else {
        return;
    };
    let writer = disk.place.writer();
    let mut input = lines(0, 1700);
    write_all(&writer, &input);
    wait_until("it is written", || disk.log() == input);
    disk.fill();
    let before = disk.files().len();
    // As much as the pipe holds for sure, whatever its capacity is, and the disk later.
    let more = lines(1700, (writer.capacity().unwrap() / 200).min(1000));
    write_all(&writer, &more);
    input.extend(more);
    wait_until("it says so", || {
        disk.place.diagnostics().contains("takes no bytes")
    });
    assert!(disk.files().len() >= before);
    assert_eq!(disk.files()[0].0, 0);
    assert!(!disk.folder().join("demo.stdout.gaps").exists());
    disk.empty();
    wait_until("all is written", || disk.log() == input);
    assert_eq!(disk.logmon.stop().0, Some(0));
}
