//! Below a trusted root no link is followed on the way to a FIFO. These tests are an edge: they use real
//! files.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use fifo::{Access, Error, FolderError, Origin, Place, Reader, Writer};

#[test]
fn a_fifo_is_made_adopted_and_opened_below_a_root() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a/b")).unwrap();
    let path = root.path().join("a/b/out");
    let place = Place::open_below(root.path(), &path).unwrap();
    assert_eq!(
        fifo::create_or_adopt_in(&place, Access::of_mode(0o600)).unwrap(),
        Origin::Created
    );
    assert_eq!(
        fifo::create_or_adopt_in(&place, Access::of_mode(0o600)).unwrap(),
        Origin::Adopted
    );
    let reader = Reader::open_in(&place, Access::of_mode(0o600)).unwrap();
    assert_eq!(reader.path(), path);
    assert_eq!(reader.identity(), Reader::open(&path).unwrap().identity());
}

#[test]
fn a_link_on_the_way_to_a_fifo_below_a_root_is_named_and_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = root.path().join("link");
    symlink(elsewhere.path(), &link).unwrap();
    fs::create_dir(elsewhere.path().join("folder")).unwrap();
    let path = link.join("folder/out");
    let error = Place::open_below(root.path(), &path).unwrap_err();
    assert!(
        matches!(&error, Error::OpenFolder { source: FolderError::Link { link: told, .. }, .. } if *told == link),
        "got {error:?}"
    );
    assert_eq!(error.path(), path);
    assert!(!error.is_transient());
    assert!(Place::open(&path).is_ok(), "without a root it is followed");
}

#[test]
fn a_place_stays_in_its_folder_when_a_link_takes_the_folders_name() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("folder");
    let elsewhere = root.path().join("elsewhere");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    let path = folder.join("out");
    let place = Place::open_below(root.path(), &path).unwrap();
    fs::rename(&folder, root.path().join("moved")).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    fifo::create_or_adopt_in(&place, Access::of_mode(0o600)).unwrap();
    let reader = Reader::open_in(&place, Access::of_mode(0o600)).unwrap();
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    let moved = Reader::open(root.path().join("moved/out")).unwrap();
    assert_eq!(reader.identity(), moved.identity());
}

#[test]
fn a_writer_opens_in_the_folder_that_was_opened_and_waits_for_its_reader() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("out");
    fifo::create(&path, 0o600).unwrap();
    let place = Place::open_below(root.path(), &path).unwrap();
    let missing = |opened: Result<Writer, Error>| {
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::NoReader { .. }), "got {error:?}");
    };
    missing(Writer::try_open_in(&place));
    missing(Writer::open_in_within(&place, Duration::ZERO));
    let reader = Reader::open(&path).unwrap();
    // Whatever takes the name of the folder, and has a FIFO and a reader, too.
    fs::rename(&folder, root.path().join("moved")).unwrap();
    fs::create_dir(&folder).unwrap();
    fifo::create(&path, 0o600).unwrap();
    let _other = Reader::open(&path).unwrap();
    for writer in [
        Writer::try_open_in(&place).unwrap(),
        Writer::open_in_within(&place, Duration::ZERO).unwrap(),
    ] {
        assert_eq!(writer.identity(), reader.identity());
        assert_eq!(writer.path(), path);
    }
}
