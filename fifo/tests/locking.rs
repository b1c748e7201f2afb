//! One locked reader per FIFO. These tests are an edge.

mod fresh;

use std::os::fd::OwnedFd;

use fifo::{Lock, ReadOutcome, Reader, Writer, Written};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

#[test]
fn a_second_reader_sees_that_the_lock_is_held() {
    let (_folder, path) = fresh::fifo();
    let first = Reader::open(&path).unwrap();
    let second = Reader::open(&path).unwrap();
    assert_eq!(first.try_lock().unwrap(), Lock::Acquired);
    assert_eq!(second.try_lock().unwrap(), Lock::HeldElsewhere);
    assert_eq!(first.try_lock().unwrap(), Lock::Acquired);
}

#[test]
fn dropping_the_reader_frees_the_lock() {
    let (_folder, path) = fresh::fifo();
    let first = Reader::open(&path).unwrap();
    let second = Reader::open(&path).unwrap();
    assert_eq!(first.try_lock().unwrap(), Lock::Acquired);
    drop(first);
    assert_eq!(second.try_lock().unwrap(), Lock::Acquired);
}

#[test]
fn the_lock_of_one_fifo_is_not_that_of_another() {
    let (_folder, path) = fresh::fifo();
    let (_other_folder, other_path) = fresh::fifo();
    let first = Reader::open(&path).unwrap();
    let second = Reader::open(&other_path).unwrap();
    assert_eq!(first.try_lock().unwrap(), Lock::Acquired);
    assert_eq!(second.try_lock().unwrap(), Lock::Acquired);
}

#[test]
fn the_lock_binds_only_those_who_ask_for_it() {
    let (_folder, path) = fresh::fifo();
    let locked = Reader::open(&path).unwrap();
    assert_eq!(locked.try_lock().unwrap(), Lock::Acquired);
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"x").unwrap(), Written::Bytes(1));
    let unlocked = Reader::open(&path).unwrap();
    assert_eq!(
        unlocked.try_read(&mut [0; 1]).unwrap(),
        ReadOutcome::Bytes(1)
    );
}

#[test]
fn the_lock_is_an_exclusive_flock_on_the_fifo_itself() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.try_lock().unwrap(), Lock::Acquired);
    let other: OwnedFd = Reader::open(&path).unwrap().into();
    let (other, errno) =
        Flock::lock(other, FlockArg::LockSharedNonblock).expect_err("the lock is exclusive");
    assert_eq!(errno, Errno::EWOULDBLOCK);
    drop(reader);
    let _held = Flock::lock(other, FlockArg::LockSharedNonblock).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.try_lock().unwrap(), Lock::HeldElsewhere);
}
