//! Everything that is not a FIFO is refused by name and not touched. These tests are an edge.

#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share may panic as tests do"
)]

mod fresh;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use fifo::{Error, FileKind, Reader, Writer};

/// Asks every call that takes a path, and checks that each names the kind.
fn assert_refused(path: &Path, expected: FileKind) {
    let errors = [
        ("Reader::open", Reader::open(path).unwrap_err()),
        ("Writer::try_open", Writer::try_open(path).unwrap_err()),
        (
            "Writer::open_within",
            // So long that the test would be seen to hang if this kind were waited for.
            Writer::open_within(path, Duration::from_secs(3600)).unwrap_err(),
        ),
        (
            "create_or_adopt",
            fifo::create_or_adopt(path, 0o600).unwrap_err(),
        ),
    ];
    for (call, error) in errors {
        let Error::NotAFifo { path: named, kind } = &error else {
            panic!("{call} gave {error:?}");
        };
        assert_eq!((named.as_path(), *kind), (path, expected), "{call}");
        assert!(!error.is_transient(), "{call}");
    }
}

#[test]
fn a_regular_file_is_refused_and_not_modified() {
    let (_folder, path) = fresh::name();
    fs::write(&path, "content").unwrap();
    let before = fs::metadata(&path).unwrap();
    assert_refused(&path, FileKind::Regular);
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");
    let stamp = |m: &fs::Metadata| (m.ino(), m.mode(), m.mtime_nsec(), m.ctime_nsec());
    assert_eq!(stamp(&after), stamp(&before));
}

#[test]
fn a_folder_is_refused() {
    let (_folder, path) = fresh::name();
    fs::create_dir(&path).unwrap();
    assert_refused(&path, FileKind::Directory);
    assert!(path.is_dir());
}

#[test]
fn a_socket_is_refused_although_its_error_is_that_of_a_missing_reader() {
    let (_folder, path) = fresh::name();
    let _listener = UnixListener::bind(&path).unwrap();
    assert_refused(&path, FileKind::Socket);
}

#[test]
fn a_link_is_refused_whatever_it_points_to() {
    let (folder, fifo_path) = fresh::fifo();
    let regular = folder.path().join("regular");
    fs::write(&regular, "content").unwrap();
    let missing = folder.path().join("missing");
    for (name, target) in [("a", &fifo_path), ("b", &regular), ("c", &missing)] {
        let link = folder.path().join(name);
        symlink(target, &link).unwrap();
        assert_refused(&link, FileKind::Symlink);
        assert_eq!(fs::read_link(&link).unwrap(), *target);
    }
    assert_eq!(fs::read(&regular).unwrap(), b"content");
    assert!(!missing.exists());
}

#[test]
fn a_device_is_refused() {
    assert_refused(Path::new("/dev/null"), FileKind::CharDevice);
}

#[test]
fn a_missing_file_is_named_and_never_created() {
    let (_folder, path) = fresh::name();
    for error in [
        Reader::open(&path).unwrap_err(),
        Writer::try_open(&path).unwrap_err(),
        Writer::open_within(&path, Duration::from_secs(3600)).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Inspect { .. }), "got {error:?}");
        assert_eq!(error.io_error().unwrap().kind(), ErrorKind::NotFound);
        assert!(!error.is_transient());
    }
    assert!(!path.exists());
}

#[test]
fn a_bare_name_is_looked_up_in_the_current_folder() {
    let error = Reader::open("no-fifo-has-this-name").unwrap_err();
    assert!(matches!(error, Error::Inspect { .. }), "got {error:?}");
}
