//! Where a path leads, also if nothing is there yet. (edge)

use std::ffi::OsString;
use std::path::{self, Component, Path, PathBuf};

/// Where a file or folder is, or would be made: links are followed as far as there is something, and behind that
/// `..` is taken back by name, as folders that are still to be made are no links.
#[must_use]
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let absolute = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut there = absolute.as_path();
    let mut missing: Vec<OsString> = Vec::new();
    let mut place = loop {
        if let Ok(place) = there.canonicalize() {
            break place;
        }
        let (Some(parent), Some(last)) = (there.parent(), there.components().next_back()) else {
            return absolute;
        };
        missing.push(last.as_os_str().to_owned());
        there = parent;
    };
    for name in missing.iter().rev() {
        if Path::new(name).components().eq([Component::ParentDir]) {
            place.pop();
        } else {
            place.push(name);
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_far_as_there_is_something_and_the_rest_goes_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        symlink("a/b", root.join("link")).unwrap();
        let at = |path: &str| resolved(&root.join(path));
        assert_eq!(at("link"), root.join("a/b"));
        assert_eq!(at("link/../c"), root.join("a/c"));
        assert_eq!(at("link/new/x"), root.join("a/b/new/x"));
        assert_eq!(at("new/../new/./x"), root.join("new/x"));
        assert_eq!(at("new/deep/../../../x"), root.parent().unwrap().join("x"));
    }
}
