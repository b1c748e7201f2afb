//! The mode is exact whatever the umask is. The umask belongs to the whole process, so this test is
//! alone in its program. It is an edge.

mod fresh;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::stat::{Mode, umask};

#[test]
fn the_mode_is_exact_under_every_umask_and_the_umask_is_left_alone() {
    for mask in [0o000, 0o022, 0o027, 0o077, 0o777] {
        // The folder is made first: it needs its own bits.
        let (folder, _) = fresh::fifo();
        let mask = Mode::from_bits_truncate(mask);
        let before = umask(mask);
        for mode in [0o000, 0o200, 0o600, 0o622, 0o660, 0o666, 0o777] {
            let path = folder.path().join(format!("{mode:o}"));
            fifo::create(&path, mode).unwrap();
            let got = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(got, mode, "asked {mode:o}, umask {mask:?}, got {got:o}");
        }
        let adopted = folder.path().join("created-or-adopted");
        fifo::create_or_adopt(&adopted, 0o662).unwrap();
        let got = fs::metadata(&adopted).unwrap().permissions().mode() & 0o7777;
        assert_eq!(got, 0o662, "umask {mask:?}, got {got:o}");
        assert_eq!(umask(before), mask);
    }
}
