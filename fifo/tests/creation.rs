//! What is made, what is adopted, and what is left alone. These tests are an edge: they use real files.

mod fresh;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Barrier;

use fifo::{Error, FileKind, Origin, ReadOutcome, Reader, Writer, Written};

#[test]
fn create_makes_a_fifo() {
    let (_folder, path) = fresh::name();
    fifo::create(&path, 0o600).unwrap();
    let _reader = Reader::open(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}

#[test]
fn create_refuses_a_name_that_is_taken_and_leaves_the_fifo_alone() {
    let (_folder, path) = fresh::fifo();
    let before = fs::metadata(&path).unwrap();
    let error = fifo::create(&path, 0o622).unwrap_err();
    assert!(matches!(error, Error::Create { .. }), "got {error:?}");
    assert_eq!(error.io_error().unwrap().kind(), ErrorKind::AlreadyExists);
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()));
}

#[test]
fn create_does_not_follow_a_dangling_link() {
    let (folder, path) = fresh::name();
    let target = folder.path().join("elsewhere");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let error = fifo::create(&path, 0o600).unwrap_err();
    assert_eq!(error.io_error().unwrap().kind(), ErrorKind::AlreadyExists);
    assert!(!target.exists());
}

#[test]
fn create_or_adopt_says_which_of_the_two_it_did() {
    let (_folder, path) = fresh::name();
    assert_eq!(
        fifo::create_or_adopt(&path, 0o600).unwrap(),
        Origin::Created
    );
    assert_eq!(
        fifo::create_or_adopt(&path, 0o600).unwrap(),
        Origin::Adopted
    );
}

#[test]
fn an_adopted_fifo_keeps_its_mode_its_identity_its_bytes_and_its_ends() {
    let (_folder, path) = fresh::name();
    fifo::create(&path, 0o640).unwrap();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"before").unwrap(), Written::Bytes(6));

    assert_eq!(
        fifo::create_or_adopt(&path, 0o600).unwrap(),
        Origin::Adopted
    );

    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    assert_eq!(Reader::open(&path).unwrap().identity(), reader.identity());
    assert_eq!(writer.try_write(b" and after").unwrap(), Written::Bytes(10));
    let mut buffer = [0; 64];
    assert_eq!(
        reader.try_read(&mut buffer).unwrap(),
        ReadOutcome::Bytes(16)
    );
    assert_eq!(&buffer[..16], b"before and after");
}

#[test]
fn of_several_who_create_or_adopt_at_once_one_creates() {
    for _ in 0..50 {
        let (_folder, path) = fresh::name();
        let start = Barrier::new(4);
        let origins: Vec<Origin> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        fifo::create_or_adopt(&path, 0o600).unwrap()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let created = origins
            .iter()
            .filter(|origin| **origin == Origin::Created)
            .count();
        assert_eq!(created, 1, "got {origins:?}");
    }
}

#[test]
fn what_is_not_a_fifo_is_refused_by_name_and_stays_as_it_is() {
    let (_folder, path) = fresh::name();
    fs::write(&path, "content").unwrap();
    let error = fifo::create_or_adopt(&path, 0o600).unwrap_err();
    assert!(
        matches!(
            error,
            Error::NotAFifo {
                kind: FileKind::Regular,
                ..
            }
        ),
        "got {error:?}"
    );
    assert_eq!(error.path(), path);
    assert_eq!(fs::read(&path).unwrap(), b"content");
}

#[test]
fn a_mode_with_more_than_permission_bits_is_refused() {
    let (_folder, path) = fresh::name();
    for mode in [0o1600, 0o4777, 0o10_600] {
        let error = fifo::create(&path, mode).unwrap_err();
        assert!(matches!(error, Error::InvalidMode { mode: got, .. } if got == mode));
    }
    assert!(!path.exists());
}

#[test]
fn a_path_without_a_last_part_is_refused() {
    for path in ["/", "..", ""] {
        let error = fifo::create_or_adopt(path.as_ref(), 0o600).unwrap_err();
        assert!(
            matches!(error, Error::NoFileName { .. }),
            "{path:?} gave {error:?}"
        );
        assert!(matches!(
            Reader::open(path).unwrap_err(),
            Error::NoFileName { .. }
        ));
    }
}

#[test]
fn a_missing_folder_is_an_error_of_the_folder() {
    let (folder, _) = fresh::name();
    let path = folder.path().join("missing").join("fifo");
    let error = fifo::create(&path, 0o600).unwrap_err();
    assert!(matches!(error, Error::OpenFolder { .. }), "got {error:?}");
    assert_eq!(error.io_error().unwrap().kind(), ErrorKind::NotFound);
}

#[test]
fn a_link_in_the_folder_part_is_followed() {
    let (folder, path) = fresh::fifo();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let through_link = link.join(path.file_name().unwrap());
    let reader = Reader::open(&through_link).unwrap();
    assert_eq!(reader.identity(), Reader::open(&path).unwrap().identity());
    assert_eq!(
        fifo::create_or_adopt(&through_link, 0o600).unwrap(),
        Origin::Adopted
    );
}

#[test]
fn identity_is_device_and_inode_and_tells_a_replaced_fifo() {
    let (folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(reader.identity().dev, metadata.dev());
    assert_eq!(reader.identity().ino, metadata.ino());
    assert_eq!(reader.identity(), writer.identity());
    assert_eq!(reader.path(), path);
    assert_eq!(writer.path(), path);

    fs::rename(&path, folder.path().join("aside")).unwrap();
    fifo::create(&path, 0o600).unwrap();
    assert_ne!(Reader::open(&path).unwrap().identity(), reader.identity());
}
