//! Where the program of an isolated task is looked for, all of it in the root that the task sees (core).
//!
//! The process that becomes the program looks there itself, when it is in the root already: so links and mounts lead
//! where they lead for the task, and nothing of the host can be found.

use std::path::{Path, PathBuf};

use crate::lookup::below_a_folder;

/// Where a name without a slash is looked for behind the task's own folders.
const FOLDERS: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];

/// Gives the absolute paths in the task, in the order in which they are looked at: of an absolute path it alone, else
/// below `/local` and `/`, and of a name without a slash the folders of programs. A path with `..` is nowhere.
pub(crate) fn places(program: &Path) -> Vec<PathBuf> {
    let Some(below) = below_a_folder(program) else {
        return Vec::new();
    };
    if program.is_absolute() {
        return vec![Path::new("/").join(below)];
    }
    let mut places = vec![
        Path::new("/local").join(&below),
        Path::new("/").join(&below),
    ];
    if program.components().count() == 1 && below.components().count() == 1 {
        places.extend(FOLDERS.iter().map(|folder| Path::new(folder).join(&below)));
    }
    places
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn of(program: &str) -> Vec<String> {
        let places = places(Path::new(program));
        places
            .iter()
            .map(|place| place.display().to_string())
            .collect()
    }

    #[test]
    fn a_name_is_looked_for_in_the_tasks_own_folders_first() {
        assert_eq!(
            of("tool"),
            [
                "/local/tool",
                "/tool",
                "/usr/local/bin/tool",
                "/usr/bin/tool",
                "/bin/tool"
            ]
        );
    }

    #[test]
    fn a_path_is_looked_for_where_it_says() {
        assert_eq!(of("/bin/sh"), ["/bin/sh"]);
        assert_eq!(of("/data//x/./y"), ["/data/x/y"]);
        assert_eq!(of("bin/tool"), ["/local/bin/tool", "/bin/tool"]);
        assert_eq!(of("./tool"), ["/local/tool", "/tool"]);
    }

    #[test]
    fn no_path_leads_upwards() {
        for program in ["", "/", ".", "..", "../tool", "/a/../b"] {
            assert_eq!(of(program), [""; 0], "{program:?}");
        }
    }

    proptest! {
        #[test]
        fn every_place_is_absolute_and_without_a_way_up(program in "[ab./]{0,12}") {
            for place in places(Path::new(&program)) {
                prop_assert!(place.is_absolute());
                prop_assert!(place.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))));
            }
        }
    }
}
