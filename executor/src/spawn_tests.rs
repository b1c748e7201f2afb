//! Tests of how a process is started, with what the kernel refuses at times refused by a filter of system calls (test).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;

use nix::libc;
use nix::unistd::geteuid;
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Gid, Uid, WaitId, WaitIdOptions, waitid};

use super::*;
use crate::cgroup::{Allowed, CgroupParent, Group, Kind};
use crate::containment::Containment;

/// A system call and what it fails with.
type Refused = (libc::c_long, Errno);

/// Has this thread's system calls with these numbers fail, and those of what it starts.
fn refuse(refused: &[Refused]) {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf: 0,
        k,
    };
    // What a filter looks at begins with the number of the call, seccomp(2).
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (number, errno) in refused {
        filter.push(libc::sock_filter {
            jf: 1,
            ..statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                u32::try_from(*number).unwrap(),
            )
        });
        let errno = errno.raw_os_error().cast_unsigned();
        filter.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ERRNO | errno));
    }
    filter.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    let (none, one): (libc::c_ulong, libc::c_ulong) = (0, 1);
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    #[expect(unsafe_code, reason = "a filter of system calls has no safe cover")]
    // SAFETY: the program and its statements live over both calls, which change this thread alone.
    let outcomes = unsafe {
        [
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, none, none, none),
            libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program),
        ]
    };
    assert_eq!(outcomes, [0, 0], "{}", io::Error::last_os_error());
}

/// Does something in a thread where these are refused.
fn where_refused<T: Send>(refused: &[Refused], act: impl FnOnce() -> T + Send) -> T {
    let act = || {
        refuse(refused);
        act()
    };
    thread::scope(|scope| scope.spawn(act).join().unwrap())
}

fn null() -> OwnedFd {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .unwrap()
        .into()
}

fn silent() -> ChildEnds {
    ChildEnds::of_output(null(), null())
}

fn of(program: &str) -> Birth<'_> {
    Birth {
        program: Path::new(program),
        name: None,
        args: &[],
        env: &[],
        cwd: Some(Path::new("/")),
        leads: Leads::Session,
        blocked: Mask::default(),
        credentials: None,
        oom_score_adj: None,
        entrances: Vec::new(),
    }
}

fn reap(newborn: &Newborn) -> Option<i32> {
    let id = WaitId::PidFd(newborn.pidfd.as_fd());
    let status = waitid(id, WaitIdOptions::EXITED).unwrap().unwrap();
    status.exit_status()
}

/// What a program writes to stdout; it must end with 0.
fn said(birth: Birth<'_>) -> String {
    let (mut output, stdout) = io::pipe().unwrap();
    let newborn = spawn(birth, ChildEnds::of_output(stdout, null())).unwrap();
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(reap(&newborn), Some(0), "after {text:?}");
    text
}

/// The step that fails, and why.
fn failure(birth: Birth<'_>, ends: ChildEnds) -> (Stage, Errno) {
    let error = spawn(birth, ends).unwrap_err();
    (error.stage, Errno::from_io_error(&error.source).unwrap())
}

/// A folder in the place of a group of version 1 or 2.
fn plain_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cgroup.procs"), "").unwrap();
    symlink("/dev/full", folder.path().join("tasks")).unwrap();
    folder
}

fn entrance(folder: &Path, kind: Option<Kind>) -> Entrance {
    Group::found(folder, kind).entrance().unwrap()
}

/// A user in more groups than anybody may be in, setgroups(2).
fn user_of_too_many() -> Credentials {
    Credentials {
        name: "many".into(),
        home: "/".into(),
        uid: Uid::from_raw(12345),
        gid: Gid::from_raw(12345),
        groups: vec![Gid::from_raw(12345); 65_537],
        is_own: false,
    }
}

#[test]
fn a_step_that_fails_has_its_name() {
    let refused =
        |refused: &[Refused]| where_refused(refused, || failure(of("/bin/true"), silent()));
    assert_eq!(
        refused(&[(libc::SYS_clone, Errno::AGAIN)]),
        (Stage::Fork, Errno::AGAIN)
    );
    assert_eq!(
        refused(&[(libc::SYS_rt_sigaction, Errno::PERM)]),
        (Stage::Signals, Errno::PERM)
    );
    let no_list = [
        (libc::SYS_close_range, Errno::NOSYS),
        (libc::SYS_getdents64, Errno::PERM),
    ];
    assert_eq!(refused(&no_list), (Stage::Descriptors, Errno::PERM));
    assert_eq!(
        refused(&[(libc::SYS_setsid, Errno::PERM)]),
        (Stage::Session, Errno::PERM)
    );
    let no_terminal = ChildEnds {
        terminal: Some(null()),
        ..silent()
    };
    assert_eq!(
        failure(of("/bin/true"), no_terminal),
        (Stage::Terminal, Errno::NOTTY)
    );
    let folder = plain_folder();
    let full = Birth {
        entrances: vec![entrance(folder.path(), None)],
        ..of("/bin/true")
    };
    assert_eq!(failure(full, silent()), (Stage::Cgroup, Errno::NOSPC));
    let beyond = Birth {
        oom_score_adj: Some(5000),
        ..of("/bin/true")
    };
    assert_eq!(failure(beyond, silent()), (Stage::OomScore, Errno::INVAL));
    let user = user_of_too_many();
    let many = Birth {
        credentials: Some(&user),
        ..of("/bin/true")
    };
    let why = if geteuid().is_root() {
        Errno::INVAL
    } else {
        Errno::PERM
    };
    assert_eq!(failure(many, silent()), (Stage::User, why));
    let nowhere = Birth {
        cwd: Some(Path::new("/no/such/folder")),
        ..of("/bin/true")
    };
    assert_eq!(failure(nowhere, silent()), (Stage::Folder, Errno::NOENT));
    assert_eq!(
        failure(of("/no/such/program"), silent()),
        (Stage::Program, Errno::NOENT)
    );
    assert_eq!(
        failure(of("/dev/null"), silent()),
        (Stage::Program, Errno::ACCESS)
    );
}

#[test]
fn what_a_process_says_of_its_failure_arrives_as_it_was() {
    for stage in Stage::ALL {
        for errno in 1..4096 {
            let failure = Failure {
                stage,
                errno: Errno::from_raw_os_error(errno),
            };
            assert_eq!(Failure::of_code(failure.code()), failure);
        }
    }
}

#[test]
fn a_group_that_no_process_can_be_made_in_is_entered() {
    // The kernel refuses a folder that is no group.
    let folder = plain_folder();
    let birth = Birth {
        entrances: vec![entrance(folder.path(), Some(Kind::Cgroup2))],
        ..of("/bin/true")
    };
    let newborn = spawn(birth, silent()).unwrap();
    assert_eq!(reap(&newborn), Some(0));
    let written = fs::read_to_string(folder.path().join("cgroup.procs")).unwrap();
    assert_eq!(written, "0");
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "whoever runs the tests is told what was left out"
)]
fn a_process_is_made_in_its_group_or_enters_it_where_that_is_refused() {
    let name = "a_process_is_made_in_its_group_or_enters_it_where_that_is_refused";
    let allowed = Allowed {
        freezer: false,
        subreaper: false,
        ..Allowed::default()
    };
    let containment = Containment::make(allowed, &CgroupParent::Own).unwrap();
    if containment.kind() != Kind::Cgroup2 {
        return eprintln!("skipped: {name}: this user can make no cgroup of version 2");
    }
    let ways: [&[Refused]; 5] = [
        &[],
        // Each of the two calls has to do without the other one.
        &[(libc::SYS_clone, Errno::PERM)],
        &[(libc::SYS_clone3, Errno::NOSYS)],
        &[(libc::SYS_clone3, Errno::PERM)],
        &[(libc::SYS_clone3, Errno::OPNOTSUPP)],
    ];
    let args = [OsString::from("/proc/self/cgroup")];
    for refused in ways {
        let text = where_refused(refused, || {
            said(Birth {
                args: &args,
                entrances: containment.entrances().unwrap(),
                ..of("/bin/cat")
            })
        });
        for folder in containment.cgroup().iter().chain(&containment.counter()) {
            let name = folder.file_name().unwrap().to_str().unwrap();
            let is_in = text.lines().any(|line| line.ends_with(&format!("/{name}")));
            assert!(is_in, "{name} is not in {text}, with {refused:?} refused");
        }
    }
    containment.give_up().unwrap();
}

#[test]
fn a_program_gets_three_descriptors_and_no_other_whatever_this_process_has_open() {
    let open: Vec<File> = (0..300).map(|_| File::open("/dev/null").unwrap()).collect();
    for file in &open {
        fcntl_setfd(file, FdFlags::empty()).unwrap();
    }
    let args = [OsString::from("/proc/self/fd")];
    let ways: [&[Refused]; 2] = [&[], &[(libc::SYS_close_range, Errno::NOSYS)]];
    for refused in ways {
        let text = where_refused(refused, || {
            said(Birth {
                args: &args,
                ..of("/bin/ls")
            })
        });
        // The last one is the folder that is listed.
        assert_eq!(text, "0\n1\n2\n3\n", "with {refused:?} refused");
    }
}
