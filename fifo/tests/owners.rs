//! Whose a new FIFO becomes, and whose one is adopted. These tests are an edge: they use real files. Only
//! root can give files away, and only others can be refused that: each of the two runs its own tests.

#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share may panic as tests do"
)]

mod fresh;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use fifo::{Access, Error, Origin, Owner, Place, Reader};
use nix::unistd::{getegid, geteuid};

/// A user and a group that no file of these tests belongs to by itself.
const STRANGER: u32 = 65_534;

fn given_to(user: Option<u32>, group: Option<u32>, mode: u32) -> Access {
    let owner = Owner { user, group };
    Access { mode, owner }
}

/// User, group and permission bits of a file.
fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

#[test]
fn a_new_fifo_is_given_to_its_owner_with_its_mode() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can give a FIFO away");
    }
    let (folder, path) = fresh::name();
    for (user, group, mode) in [
        (Some(STRANGER), Some(STRANGER), 0o620),
        (Some(STRANGER), None, 0o600),
        (None, Some(STRANGER), 0o660),
    ] {
        let place = Place::open(&path).unwrap();
        let access = given_to(user, group, mode);
        assert_eq!(
            fifo::create_or_adopt_in(&place, access).unwrap(),
            Origin::Created
        );
        let expected = (user.unwrap_or(0), group.unwrap_or(0), mode);
        assert_eq!(owner_and_mode(&path), expected);
        assert_eq!(
            fifo::create_or_adopt_in(&place, access).unwrap(),
            Origin::Adopted
        );
        assert!(Reader::open_in(&place, access).is_ok());
        fs::remove_file(&path).unwrap();
    }
    drop(folder);
}

#[test]
fn a_new_fifo_may_get_a_group_of_its_user() {
    let (_folder, path) = fresh::name();
    let group = getegid().as_raw();
    let access = given_to(None, Some(group), 0o620);
    fifo::create_or_adopt_in(&Place::open(&path).unwrap(), access).unwrap();
    assert_eq!(owner_and_mode(&path), (geteuid().as_raw(), group, 0o620));
}

#[test]
fn a_new_fifo_that_cant_be_given_away_is_removed_again() {
    if geteuid().is_root() {
        return eprintln!("skipped: root can give a FIFO to anybody");
    }
    let (folder, path) = fresh::name();
    let access = given_to(Some(0), None, 0o600);
    let error = fifo::create_or_adopt_in(&Place::open(&path).unwrap(), access).unwrap_err();
    assert!(matches!(error, Error::SetOwner { .. }), "got {error:?}");
    assert_eq!(
        error.io_error().unwrap().kind(),
        ErrorKind::PermissionDenied
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_fifo_of_a_stranger_is_refused_and_stays_as_it_is() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can make a FIFO of a stranger");
    }
    let (_folder, path) = fresh::fifo();
    chown(&path, Some(STRANGER), None).unwrap();
    let place = Place::open(&path).unwrap();
    let ours = Access::of_mode(0o600);
    for error in [
        fifo::create_or_adopt(&path, 0o600).unwrap_err(),
        fifo::create_or_adopt_in(&place, given_to(None, Some(STRANGER), 0o600)).unwrap_err(),
        Reader::open_in(&place, ours).unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::ForeignOwner { uid: STRANGER, .. }),
            "got {error:?}"
        );
        assert!(!error.is_transient());
    }
    assert_eq!(owner_and_mode(&path), (STRANGER, 0, 0o600));
    let theirs = given_to(Some(STRANGER), None, 0o600);
    assert_eq!(
        fifo::create_or_adopt_in(&place, theirs).unwrap(),
        Origin::Adopted
    );
    assert!(Reader::open_in(&place, theirs).is_ok());
}

#[test]
fn a_fifo_that_everybody_can_read_is_refused_and_stays_as_it_is() {
    let (_folder, path) = fresh::name();
    fifo::create(&path, 0o644).unwrap();
    let place = Place::open(&path).unwrap();
    for error in [
        fifo::create_or_adopt(&path, 0o600).unwrap_err(),
        Reader::open_in(&place, Access::of_mode(0o660)).unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::WorldReadable { mode: 0o644, .. }),
            "got {error:?}"
        );
    }
    assert_eq!(owner_and_mode(&path).2, 0o644);
    assert_eq!(
        fifo::create_or_adopt(&path, 0o604).unwrap(),
        Origin::Adopted
    );
    fs::set_permissions(&path, PermissionsExt::from_mode(0o622)).unwrap();
    assert_eq!(
        fifo::create_or_adopt(&path, 0o600).unwrap(),
        Origin::Adopted
    );
    assert_eq!(owner_and_mode(&path).2, 0o622, "its mode is the host's");
}

#[test]
fn no_owner_is_changed_through_a_link() {
    let (folder, path) = fresh::fifo();
    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    let before = owner_and_mode(&path);
    let access = given_to(Some(STRANGER), Some(STRANGER), 0o660);
    let error = fifo::create_or_adopt_in(&Place::open(&link).unwrap(), access).unwrap_err();
    assert!(matches!(error, Error::NotAFifo { .. }), "got {error:?}");
    assert_eq!(owner_and_mode(&path), before);
}
