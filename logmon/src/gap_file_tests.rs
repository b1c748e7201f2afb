//! Edge: the file of records in a real folder, with whatever may be in its way.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::config::StreamConfig;

struct Place {
    folder: TempDir,
    dir: LogDir,
    name: StreamName,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(StreamConfig::in_folder(folder.path(), "web.stdout"));
        let dir = LogDir::open(&config).unwrap();
        let name = config.name.clone();
        Place { folder, dir, name }
    }

    fn append(&self, line: &str) -> Result<(), Error> {
        append(&self.dir, &self.name, line)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

#[test]
fn records_are_appended_and_nothing_stays_open() {
    let place = Place::new();
    place.append("one\n").unwrap();
    place.append("two\n").unwrap();
    assert_eq!(place.read("web.stdout.gaps"), "one\ntwo\n");
    let open = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    assert!(
        !open
            .into_iter()
            .any(|path| path == place.path("web.stdout.gaps"))
    );
}

#[test]
fn a_torn_line_is_ended_before_the_next_record() {
    let place = Place::new();
    fs::write(place.path("web.stdout.gaps"), "one\ntw").unwrap();
    place.append("three\n").unwrap();
    assert_eq!(place.read("web.stdout.gaps"), "one\ntw\nthree\n");
}

#[test]
fn at_its_limit_it_takes_the_place_of_the_old_one_so_two_files_are_the_bound() {
    let place = Place::new();
    let line = format!("{}\n", "x".repeat(1023));
    for _ in 0..64 {
        place.append(&line).unwrap();
    }
    assert_eq!(place.read("web.stdout.gaps").len(), MAX_BYTES);
    assert!(!place.path("web.stdout.gaps.old").exists());
    place.append("next\n").unwrap();
    assert_eq!(place.read("web.stdout.gaps"), "next\n");
    assert_eq!(place.read("web.stdout.gaps.old"), line.repeat(64));
    for _ in 0..64 {
        place.append(&line).unwrap();
    }
    assert_eq!(place.read("web.stdout.gaps"), line);
    assert_eq!(place.read("web.stdout.gaps.old").len(), 5 + 63 * 1024);
}

#[test]
fn links_folders_and_files_with_two_names_are_not_written_to() {
    let place = Place::new();
    let victim = place.path("victim");
    fs::write(&victim, "untouched").unwrap();
    let file = place.path("web.stdout.gaps");
    let ways: [fn(&PathBuf, &PathBuf); 3] = [
        |victim, file| symlink(victim, file).unwrap(),
        |victim, file| fs::hard_link(victim, file).unwrap(),
        |_, file| fs::create_dir(file).unwrap(),
    ];
    for (way, put) in ways.iter().enumerate() {
        put(&victim, &file);
        let refused = place.append("line\n").unwrap_err();
        assert!(matches!(refused, Error::RecordLoss { .. }), "{way}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        if fs::remove_file(&file).is_err() {
            fs::remove_dir(&file).unwrap();
        }
    }
    fifo::create(&file, 0o600).unwrap();
    assert!(place.append("line\n").is_err(), "and it does not wait");
}

#[test]
fn something_foreign_in_the_place_of_the_old_file_is_not_replaced() {
    let place = Place::new();
    let full = "x".repeat(MAX_BYTES - 1) + "\n";
    fs::write(place.path("web.stdout.gaps"), &full).unwrap();
    symlink("nowhere", place.path("web.stdout.gaps.old")).unwrap();
    assert!(place.append("line\n").is_err());
    assert_eq!(place.read("web.stdout.gaps"), full);
    assert!(place.path("web.stdout.gaps.old").is_symlink());
}
