//! Descriptors that a child has. Between fork(2) and execve(2) a child holds a copy of every descriptor
//! of its parent, close-on-exec or not. So tests that start programs are kept away from the tests that
//! look at once whether a last end or a lock is gone, and from each other. They are an edge.

mod fresh;

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use fifo::{Lock, ReadOutcome, Readable, Reader, Writer};
use nix::fcntl::{FcntlArg, OFlag, fcntl};

const LONG: Duration = Duration::from_secs(30);
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_child_gets_a_blocking_stdout() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let stdout = Writer::try_open(&path)
        .unwrap()
        .into_child_stdout()
        .unwrap();
    let status = OFlag::from_bits_retain(fcntl(&stdout, FcntlArg::F_GETFL).unwrap());
    assert!(!status.contains(OFlag::O_NONBLOCK), "got {status:?}");
    assert_eq!(status & OFlag::O_ACCMODE, OFlag::O_WRONLY);

    let mut child = Command::new("sh")
        .args(["-c", "printf 'from the task'"])
        .stdout(Stdio::from(stdout))
        .spawn()
        .unwrap();
    assert!(child.wait().unwrap().success());
    let mut buffer = [0; 64];
    assert_eq!(
        reader.try_read(&mut buffer).unwrap(),
        ReadOutcome::Bytes(13)
    );
    assert_eq!(&buffer[..13], b"from the task");
    // The command kept no copy: the child was the last writer.
    assert_eq!(reader.wait_readable(LONG).unwrap(), Readable::NoWriter);
}

#[test]
fn the_lock_lives_until_the_last_copy_is_gone_however_its_process_ends() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.try_lock().unwrap(), Lock::Acquired);
    let copy: File = reader.as_fd().try_clone_to_owned().unwrap().into();
    let mut holder = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::from(copy))
        .spawn()
        .unwrap();
    drop(reader);

    let next = Reader::open(&path).unwrap();
    assert_eq!(next.try_lock().unwrap(), Lock::HeldElsewhere);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(next.try_lock().unwrap(), Lock::Acquired);
}
