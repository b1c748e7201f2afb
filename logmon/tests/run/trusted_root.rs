//! Edge: below a trusted root no link is followed, whether or not the kernel can resolve a path in one call
//! (contract SEC-1).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::subject::refusal;
use crate::support::{Place, lines, wait_until, write_all, writer_of};

/// Runs a command in which openat2(2) gives the error of this number, as an old kernel (ENOSYS) or a
/// filter of system calls (EPERM) does it.
const WITHOUT_OPENAT2: &str = "
import ctypes, os, struct, sys
def step(code, yes, no, value):
    return struct.pack('HBBI', code, yes, no, value)
steps = (step(0x20, 0, 0, 0) + step(0x15, 0, 1, 437)
    + step(0x06, 0, 0, 0x00050000 | int(sys.argv[1])) + step(0x06, 0, 0, 0x7fff0000))
class Filter(ctypes.Structure):
    _fields_ = [('count', ctypes.c_ushort), ('steps', ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Filter(4, steps))) == 0
os.execv(sys.argv[2], sys.argv[2:])
";

/// How openat2(2) answers.
#[derive(Clone, Copy)]
enum Kernel {
    Whole,
    Without(nix::errno::Errno),
}

const KERNELS: [Kernel; 3] = [
    Kernel::Whole,
    Kernel::Without(nix::errno::Errno::ENOSYS),
    Kernel::Without(nix::errno::Errno::EPERM),
];

impl Kernel {
    /// `logmon run` with these paths, of two small files.
    fn logmon(self, root: &Path, log_dir: &Path, fifo: &Path) -> Command {
        let binary = env!("CARGO_BIN_EXE_logmon");
        let mut command = match self {
            Kernel::Whole => Command::new(binary),
            Kernel::Without(errno) => {
                let mut command = Command::new("python3");
                command.args(["-c", WITHOUT_OPENAT2]);
                command.arg((errno as i32).to_string()).arg(binary);
                command
            }
        };
        command
            .args(["run", "--max-files", "2", "--max-file-size", "1000"])
            .arg("--trusted-root")
            .arg(root)
            .arg("--log-dir")
            .arg(log_dir)
            .arg("--stdout")
            .arg(format!("{}=demo.stdout", fifo.display()));
        command
    }
}

#[test]
fn everything_is_collected_below_a_root() {
    for kernel in KERNELS {
        let place = Place::new();
        let (logs, fifo) = (place.path("logs"), place.path("run/out"));
        let logmon = place.start_command(kernel.logmon(place.root(), &logs, &fifo));
        if let Kernel::Without(_) = kernel {
            let status = fs::read_to_string(format!("/proc/{}/status", logmon.pid())).unwrap();
            assert!(status.contains("Seccomp:\t2"), "{status}");
        }
        write_all(&writer_of(&fifo), &lines(0, 25));
        place.wait_for_log(&lines(10, 15));
        assert_eq!(logmon.stop().0, Some(0));
    }
}

#[test]
fn a_link_in_the_middle_is_refused_by_name_and_nothing_is_made_behind_it() {
    for kernel in KERNELS {
        let place = Place::new();
        let elsewhere = place.path("elsewhere");
        fs::create_dir_all(elsewhere.join("folder")).unwrap();
        let link = place.path("link");
        symlink(&elsewhere, &link).unwrap();
        let behind = link.join("folder");
        let (logs, fifo) = (place.path("logs"), place.path("run/out"));
        for command in [
            kernel.logmon(place.root(), &behind, &fifo),
            kernel.logmon(place.root(), &logs, &behind.join("out")),
        ] {
            let (code, told) = refusal(command);
            assert_eq!(code, Some(66), "{told}");
            let named = format!("{}: it is a symbolic link", link.display());
            assert!(told.contains(&named), "{told}");
        }
        assert_eq!(fs::read_dir(elsewhere.join("folder")).unwrap().count(), 0);
        // A root behind the link is the host's word for it.
        let command = kernel.logmon(&behind, &behind, &behind.join("out"));
        assert_eq!(place.start_command(command).stop().0, Some(0));
    }
}

#[test]
fn a_path_that_is_not_below_the_root_is_refused_by_name_with_the_root() {
    let place = Place::new();
    let root = place.path("logs");
    let outside = place.path("run/out");
    let back = root.join("../run/out");
    for fifo in [&outside, &back] {
        let (code, told) = refusal(Kernel::Whole.logmon(&root, &root, fifo));
        assert_eq!(code, Some(66), "{told}");
        assert!(told.contains(fifo.to_str().unwrap()), "{told}");
        assert!(
            told.contains(&format!("the trusted root {}", root.display())),
            "{told}"
        );
    }
    let run = place.path("run");
    let (code, told) = refusal(Kernel::Whole.logmon(&run, &root, &outside));
    assert_eq!(code, Some(66), "{told}");
    assert!(told.contains(root.to_str().unwrap()), "{told}");
    assert_eq!(fs::read_dir(run).unwrap().count(), 0);
}

#[test]
fn a_log_folder_that_was_removed_is_made_again_below_the_root_and_behind_no_link() {
    let place = Place::new();
    let logs = place.path("above/logs");
    fs::create_dir_all(&logs).unwrap();
    let fifo = place.path("run/out");
    let logmon = place.start_command(Kernel::Whole.logmon(place.root(), &logs, &fifo));
    let writer = writer_of(&fifo);

    fs::remove_dir_all(&logs).unwrap();
    write_all(&writer, &lines(0, 30));
    // Only a folder in which everything is written is not looked for any more.
    wait_until("the folder is made again", || {
        ends_with(&logs, &lines(29, 1))
    });

    let elsewhere = place.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir_all(place.path("above")).unwrap();
    symlink(&elsewhere, place.path("above")).unwrap();
    write_all(&writer, &lines(30, 30));
    wait_until("logmon meets the link", || {
        place.diagnostics().contains("it is a symbolic link")
    });
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);

    fs::remove_file(place.path("above")).unwrap();
    fs::create_dir(place.path("above")).unwrap();
    wait_until("the folder is made once more", || {
        ends_with(&logs, &lines(59, 1))
    });
    drop(writer);
    assert_eq!(logmon.stop().0, Some(0));
}

/// True when a file in the folder ends so.
fn ends_with(folder: &Path, tail: &[u8]) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| fs::read(file.path()).ok())
        .any(|bytes| bytes.ends_with(tail))
}
