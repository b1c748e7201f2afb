//! Makes the program of an isolated task executable, if it is the task's own (edge).

use std::path::Path;

use rustix::fs::ResolveFlags;

use super::container::ContainerSpec;
use super::places::places;
use crate::program::{Found, ProgramError, look_below, open_folder};
use crate::user::Credentials;

/// Looks at the places of a program in the root, up to the first one that it is at, and makes that executable if it is
/// the task's own file. The process that becomes the program looks again: a place below a mount is the host's, and only
/// seen from within, so neither it nor what comes behind it is changed.
pub(super) fn make_executable(
    around: &ContainerSpec,
    program: &Path,
    user: Option<&Credentials>,
) -> Result<(), ProgramError> {
    let root = open_folder(&around.root)?;
    // A link from / on leads from the root on, as it does for the task.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    for place in places(program) {
        let is_of_host = |task: &Path| place.starts_with(task);
        if around.mounts.iter().any(|mount| is_of_host(&mount.task)) {
            return Ok(());
        }
        match look_below(&root, (&place, resolve), &place, user)? {
            Some(Found::Nothing) => {}
            Some(Found::Executable | Found::ForOthers | Found::NotExecutable) | None => {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn root() -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["local", "bin"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        root
    }

    /// A file of this mode in the root.
    fn file(root: &TempDir, place: &str, mode: u32) {
        let path = root.path().join(place);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn mode(root: &TempDir, place: &str) -> u32 {
        let facts = fs::metadata(root.path().join(place)).unwrap();
        facts.permissions().mode() & 0o7777
    }

    fn look(around: &ContainerSpec, program: &str) {
        make_executable(around, Path::new(program), None).unwrap();
    }

    #[test]
    fn the_first_place_is_made_executable_and_no_other_one() {
        let root = root();
        file(&root, "bin/tool", 0o610);
        file(&root, "tool", 0o610);
        let around = ContainerSpec::new(root.path());
        look(&around, "tool");
        assert_eq!(
            (mode(&root, "tool"), mode(&root, "bin/tool")),
            (0o755, 0o610)
        );
        look(&around, "/bin/tool");
        assert_eq!(mode(&root, "bin/tool"), 0o755);
        look(&around, "nowhere");
    }

    #[test]
    fn a_link_leads_from_the_root_on() {
        let (root, host) = (root(), tempfile::tempdir().unwrap());
        file(&host, "tool", 0o600);
        file(&root, "bin/tool", 0o600);
        symlink("/bin/tool", root.path().join("local/near")).unwrap();
        symlink(host.path().join("tool"), root.path().join("local/far")).unwrap();
        symlink("../../../../tool", root.path().join("local/up")).unwrap();
        let around = ContainerSpec::new(root.path());
        for program in ["near", "far", "up"] {
            look(&around, program);
        }
        assert_eq!(mode(&root, "bin/tool"), 0o755);
        assert_eq!(mode(&host, "tool"), 0o600);
    }

    #[test]
    fn what_has_a_second_name_or_is_mounted_over_stays_as_it_is() {
        let root = root();
        file(&root, "local/tool", 0o600);
        fs::hard_link(root.path().join("local/tool"), root.path().join("second")).unwrap();
        let mut around = ContainerSpec::new(root.path());
        look(&around, "tool");
        assert_eq!(mode(&root, "local/tool"), 0o600);
        fs::remove_file(root.path().join("second")).unwrap();
        file(&root, "tool", 0o600);
        around.mounts = vec!["/srv:/local".parse().unwrap()];
        look(&around, "tool");
        assert_eq!(
            (mode(&root, "local/tool"), mode(&root, "tool")),
            (0o600, 0o600)
        );
        around.mounts = vec!["/srv:/loc".parse().unwrap()];
        look(&around, "tool");
        assert_eq!(
            (mode(&root, "local/tool"), mode(&root, "tool")),
            (0o755, 0o600)
        );
    }
}
