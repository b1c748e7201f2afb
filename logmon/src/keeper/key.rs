//! Core: what a stream's descriptors are kept under.
//!
//! A key is 1 to 64 characters of `a-z A-Z 0-9 . _ -`, so it is also a part of a name in systemd's
//! descriptor store (at most 255 characters, no colon, no control character). It is made from the
//! absolute path of the FIFO: a number that stands for the whole path, then the file name for people.
//! Two lives of logmon on the same path have the same key, also when another FIFO took the path.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::fnv::fnv_1a;

/// Characters that a key may have.
pub(crate) const MAX_KEY_BYTES: usize = 64;
/// Characters of the file name that a key repeats.
const MAX_NAME_BYTES: usize = 40;

/// A name for the descriptors of one stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(Box<str>);

impl Key {
    /// Gives the key of the FIFO with this absolute path.
    pub(crate) fn of_fifo(path: &Path) -> Key {
        let hash = fnv_1a(path.as_os_str().as_bytes());
        let name: String = path
            .file_name()
            .unwrap_or_default()
            .as_bytes()
            .iter()
            .take(MAX_NAME_BYTES)
            .map(|byte| {
                if is_allowed(*byte) {
                    char::from(*byte)
                } else {
                    '_'
                }
            })
            .collect();
        Key(format!("{hash:016x}-{name}").into())
    }

    /// Accepts bytes as a key if they are one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Key> {
        let is_key = (1..=MAX_KEY_BYTES).contains(&bytes.len())
            && bytes.iter().all(|byte| is_allowed(*byte));
        let text = std::str::from_utf8(bytes).ok().filter(|_| is_key)?;
        Some(Key(text.into()))
    }

    /// Gives the text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_key_names_its_fifo_for_people() {
        let key = Key::of_fifo(Path::new("/run/demo/.web out.fifo"));
        assert_eq!(&key.as_str()[16..], "-.web_out.fifo");
        assert_ne!(key, Key::of_fifo(Path::new("/run/demo2/.web out.fifo")));
    }

    proptest! {
        #[test]
        fn every_path_has_a_key_that_can_be_read_back(path in proptest::collection::vec(1_u8.., 0..300)) {
            let key = Key::of_fifo(Path::new(&OsString::from_vec(path)));
            prop_assert_eq!(Key::parse(key.as_str().as_bytes()), Some(key.clone()));
        }

        #[test]
        fn what_is_taken_for_a_key_has_no_colon_and_no_control_character(bytes: Vec<u8>) {
            if let Some(key) = Key::parse(&bytes) {
                prop_assert_eq!(key.as_str().as_bytes(), &bytes[..]);
                prop_assert!(!key.as_str().contains(|c: char| c == ':' || c.is_control()));
                prop_assert!(key.as_str().len() <= MAX_KEY_BYTES);
            }
        }
    }
}
