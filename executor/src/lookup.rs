//! Where a program is looked for (core).

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// The folder of a task's own files in its task folder. What lies there is the task's more than what lies
/// beside it.
const LOCAL: &str = "local";

/// A place to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Below the task folder, by its path from there. Such a file is the task's own, and may be made
    /// executable.
    InTask(PathBuf),
    /// A file of the host.
    OnHost(PathBuf),
}

/// Gives the path of a program from a folder that is taken for the root; none if it is empty, or if a `..` in it could
/// leave that folder.
pub(crate) fn below_a_folder(program: &Path) -> Option<PathBuf> {
    let below: Option<PathBuf> = program
        .components()
        .filter(|part| !matches!(part, Component::RootDir | Component::CurDir))
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            Component::ParentDir
            | Component::RootDir
            | Component::CurDir
            | Component::Prefix(_) => None,
        })
        .collect();
    below.filter(|below| !below.as_os_str().is_empty())
}

/// Gives the places of a program, in the order in which they are looked at: the task's `local/`, the task folder,
/// the host's own file if the path is absolute, and the folders of `$PATH` for a name without a slash. A path with
/// `..` is not looked for in the task folder, which it could leave. No place is looked at twice.
pub(crate) fn places(program: &Path, has_task_folder: bool, path: Option<&OsStr>) -> Vec<Place> {
    let mut places = Vec::new();
    if let Some(below) = below_a_folder(program).filter(|_| has_task_folder) {
        places.push(Place::InTask(Path::new(LOCAL).join(&below)));
        places.push(Place::InTask(below));
    }
    let bytes = program.as_os_str().as_bytes();
    if program.is_absolute() {
        places.push(Place::OnHost(program.to_owned()));
    } else if !bytes.contains(&b'/') && !bytes.is_empty() {
        let folders = path.map(OsStr::as_bytes).unwrap_or_default();
        // A folder that is relative would depend on where the executor happens to be.
        let folders = folders
            .split(|byte| *byte == b':')
            .filter(|one| one.starts_with(b"/"));
        for folder in folders {
            let folder = PathBuf::from(std::ffi::OsString::from_vec(folder.to_vec()));
            let place = Place::OnHost(folder.join(program));
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

/// Gives the mode of a program that was not executable for everybody: 0610 becomes 0755. None if it is so already.
pub(crate) fn executable_mode(mode: u32) -> Option<u32> {
    let wanted = mode & 0o7777 | 0o555;
    (wanted != mode & 0o7777).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_task(path: &str) -> Place {
        Place::InTask(path.into())
    }

    fn on_host(path: &str) -> Place {
        Place::OnHost(path.into())
    }

    fn of(program: &str, has_task_folder: bool) -> Vec<Place> {
        let path = OsStr::new("/usr/bin:bin::/bin:.");
        places(Path::new(program), has_task_folder, Some(path))
    }

    #[test]
    fn local_comes_before_the_task_folder_and_both_before_the_host() {
        assert_eq!(
            of("tool", true),
            [
                in_task("local/tool"),
                in_task("tool"),
                on_host("/usr/bin/tool"),
                on_host("/bin/tool")
            ]
        );
        assert_eq!(
            of("/opt/tool", true),
            [
                in_task("local/opt/tool"),
                in_task("opt/tool"),
                on_host("/opt/tool")
            ]
        );
        assert_eq!(
            of("bin/tool", true),
            [in_task("local/bin/tool"), in_task("bin/tool")]
        );
        assert_eq!(of("./tool", true), [in_task("local/tool"), in_task("tool")]);
    }

    #[test]
    fn without_a_task_folder_only_the_host_is_looked_at() {
        assert_eq!(
            of("tool", false),
            [on_host("/usr/bin/tool"), on_host("/bin/tool")]
        );
        assert_eq!(of("/bin/sh", false), [on_host("/bin/sh")]);
        assert_eq!(of("bin/tool", false), []);
        assert_eq!(places(Path::new("tool"), false, None), []);
    }

    #[test]
    fn a_folder_that_stands_twice_on_the_path_is_one_place() {
        let path = OsStr::new("/usr/bin:/bin:/usr/bin/:/bin");
        assert_eq!(
            places(Path::new("tool"), false, Some(path)),
            [on_host("/usr/bin/tool"), on_host("/bin/tool")]
        );
    }

    #[test]
    fn no_path_leads_out_of_the_task_folder() {
        assert_eq!(of("../tool", true), []);
        assert_eq!(of("/a/../b", true), [on_host("/a/../b")]);
        assert_eq!(of("", true), []);
        assert_eq!(of("/", true), [on_host("/")]);
    }

    #[test]
    fn everybody_may_read_and_execute_a_program() {
        assert_eq!(executable_mode(0o610), Some(0o755));
        assert_eq!(executable_mode(0o100_644), Some(0o755));
        assert_eq!(executable_mode(0o4711), Some(0o4755));
        assert_eq!(
            (executable_mode(0o755), executable_mode(0o100_555)),
            (None, None)
        );
    }
}
