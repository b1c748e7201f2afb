//! Edge: users and groups by their names.
//!
//! In a program that is linked statically the C library's look-up would load what the machine has of
//! libraries, for another version of itself perhaps (the linker warns of getpwnam(3)). There the two
//! files are read, and nobody else is asked.

use std::fs;
use std::io;
use std::path::Path;

use nix::unistd::{Group, User};

/// The number of a user; none if there is no such user.
pub(crate) fn user_id(name: &str) -> io::Result<Option<u32>> {
    if cfg!(target_feature = "crt-static") {
        return id_in(Path::new("/etc/passwd"), name);
    }
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

/// The number of a group; none if there is no such group.
pub(crate) fn group_id(name: &str) -> io::Result<Option<u32>> {
    if cfg!(target_feature = "crt-static") {
        return id_in(Path::new("/etc/group"), name);
    }
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// The third field of the first line with this name, as passwd(5) and group(5) have it. A machine
/// without the file has nobody.
fn id_in(file: &Path, name: &str) -> io::Result<Option<u32>> {
    match fs::read(file) {
        Ok(bytes) => Ok(id_of(&String::from_utf8_lossy(&bytes), name)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn id_of(text: &str, name: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| {
        let is_meant = fields.next() == Some(name);
        let id = fields.nth(1)?;
        is_meant.then(|| id.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_as_a_whole_and_its_number_is_the_third_field() {
        let text = "root:x:0:0:root:/root:/bin/sh\n# app2:x:5\n\napp:x:7:8::/:\napp2:x:9:\n+app3\napp4:x:z:\n";
        for (name, id) in [
            ("root", Some(0)),
            ("app", Some(7)),
            ("app2", Some(9)),
            ("ap", None),
            ("app3", None),
            ("app4", None),
            ("", None),
        ] {
            assert_eq!(id_of(text, name), id, "{name:?}");
        }
    }

    #[test]
    fn the_files_say_of_root_what_the_c_library_says() {
        let by_library = User::from_name("root").unwrap().unwrap().uid.as_raw();
        let by_file = id_in(Path::new("/etc/passwd"), "root").unwrap();
        assert_eq!(by_file, Some(by_library));
        let by_library = Group::from_name("root").unwrap().unwrap().gid.as_raw();
        assert_eq!(
            id_in(Path::new("/etc/group"), "root").unwrap(),
            Some(by_library)
        );
    }

    #[test]
    fn without_the_file_there_is_nobody() {
        assert_eq!(
            id_in(Path::new("/nonexistent/passwd"), "root").unwrap(),
            None
        );
        assert!(id_in(Path::new("/"), "root").is_err());
    }
}
