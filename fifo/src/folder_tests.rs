//! The two ways to a folder below a root give the same. These tests are an edge: they use real folders.

use std::fs;
use std::os::unix::fs::symlink;

use nix::sys::stat::fstat;
use tempfile::TempDir;

use super::*;

/// A root with `a/b`, links to `a` and to the outside, and a file.
fn root() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir_all(dir.path().join("outside/b")).unwrap();
    symlink("a", root.join("inward")).unwrap();
    symlink(dir.path().join("outside"), root.join("outward")).unwrap();
    symlink("b", root.join("a/last")).unwrap();
    fs::write(root.join("file"), "").unwrap();
    dir
}

fn identity(path: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(path).unwrap();
    (metadata.dev(), metadata.ino())
}

fn identity_of(handle: &OwnedFd) -> (u64, u64) {
    let stat = fstat(handle).unwrap();
    (stat.st_dev, stat.st_ino)
}

fn walk(root: &Path, names: &str) -> Result<OwnedFd, FolderError> {
    let handle = open_part(AT_FDCWD, root, root, root).unwrap();
    part_by_part(handle, root, Path::new(names))
}

fn jump(root: &Path, names: &str) -> Result<OwnedFd, Errno> {
    let handle = open_part(AT_FDCWD, root, root, root).unwrap();
    at_once(&handle, Path::new(names))
}

#[test]
fn both_ways_open_the_same_folder() {
    let dir = root();
    let root = dir.path().join("root");
    for names in ["a", "a/b", "a//b/", "a/./b"] {
        let expected = identity(&root.join(names));
        assert_eq!(identity_of(&walk(&root, names).unwrap()), expected);
        // An old kernel, or a filter of system calls, has only the other way.
        match jump(&root, names) {
            Err(Errno::ENOSYS | Errno::EPERM) => {}
            handle => assert_eq!(identity_of(&handle.unwrap()), expected),
        }
        let found = open_folder_below(&root, &root.join(names)).unwrap();
        assert_eq!(identity_of(&found), expected);
    }
}

#[test]
fn both_ways_refuse_a_link_wherever_it_stands_and_leads() {
    let dir = root();
    let root = dir.path().join("root");
    for (names, link) in [
        ("inward", "inward"),
        ("inward/b", "inward"),
        ("outward/b", "outward"),
        ("a/last", "a/last"),
    ] {
        assert!(jump(&root, names).is_err(), "{names}");
        let by_walk = walk(&root, names).unwrap_err();
        let found = open_folder_below(&root, &root.join(names)).unwrap_err();
        for error in [by_walk, found] {
            let FolderError::Link { link: told, .. } = error else {
                panic!("{names} gave {error:?}");
            };
            assert_eq!(told, root.join(link));
        }
    }
}

#[test]
fn both_ways_refuse_what_is_no_folder_and_name_it() {
    let dir = root();
    let root = dir.path().join("root");
    for (names, part, errno) in [
        ("file/b", "file", Errno::ENOTDIR),
        ("a/none/b", "a/none", Errno::ENOENT),
    ] {
        assert!(jump(&root, names).is_err(), "{names}");
        let error = open_folder_below(&root, &root.join(names)).unwrap_err();
        assert_eq!(
            error.io_error().unwrap().raw_os_error(),
            Some(errno as i32),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("open {}", root.join(part).display())
        );
    }
}

#[test]
fn a_path_beside_the_root_or_back_up_from_it_is_refused() {
    let dir = root();
    let root = dir.path().join("root");
    for path in [
        dir.path().join("outside"),
        dir.path().join("root2"),
        root.join("../outside"),
        root.join("a/../a"),
        PathBuf::from("a"),
    ] {
        let error = open_folder_below(&root, &path).unwrap_err();
        assert!(
            matches!(error, FolderError::OutsideRoot { .. }),
            "{path:?} gave {error:?}"
        );
    }
}

#[test]
fn the_root_is_below_itself_and_must_be_no_link() {
    let dir = root();
    let root = dir.path().join("root");
    let found = open_folder_below(&root, &root).unwrap();
    assert_eq!(identity_of(&found), identity(&root));
    let link = dir.path().join("link");
    symlink(&root, &link).unwrap();
    let error = open_folder_below(&link, &link.join("a")).unwrap_err();
    assert!(
        matches!(&error, FolderError::Link { link: told, .. } if *told == link),
        "got {error:?}"
    );
}
