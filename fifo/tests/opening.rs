//! What an open gives, with and without the other end. These tests are an edge.

mod fresh;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use fifo::{Error, Reader, Writable, Writer, Written};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_writer_without_a_reader_is_told_so() {
    let (_folder, path) = fresh::fifo();
    let error = Writer::try_open(&path).unwrap_err();
    assert!(matches!(error, Error::NoReader { .. }), "got {error:?}");
    assert!(error.is_transient());
    let _reader = Reader::open(&path).unwrap();
    Writer::try_open(&path).unwrap();
}

#[test]
fn another_writer_is_no_reader() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let _writer = Writer::try_open(&path).unwrap();
    drop(reader);
    assert!(matches!(
        Writer::try_open(&path).unwrap_err(),
        Error::NoReader { .. }
    ));
}

#[test]
fn open_within_gives_up_at_its_deadline_and_not_before() {
    let (_folder, path) = fresh::fifo();
    let limit = Duration::from_millis(60);
    let start = Instant::now();
    let error = Writer::open_within(&path, limit).unwrap_err();
    let took = start.elapsed();
    assert!(matches!(error, Error::NoReader { .. }), "got {error:?}");
    assert!(took >= limit, "gave up after {took:?}");
    assert!(took < LONG, "gave up after {took:?}");
}

#[test]
fn open_within_tries_once_with_a_limit_of_zero() {
    let (_folder, path) = fresh::fifo();
    let error = Writer::open_within(&path, Duration::ZERO).unwrap_err();
    assert!(matches!(error, Error::NoReader { .. }), "got {error:?}");
    let _reader = Reader::open(&path).unwrap();
    Writer::open_within(&path, Duration::ZERO).unwrap();
}

#[test]
fn open_within_waits_for_a_late_reader_even_with_an_endless_limit() {
    for limit in [LONG, Duration::MAX] {
        let (_folder, path) = fresh::fifo();
        let (started, has_started) = mpsc::channel();
        let writer = std::thread::scope(|scope| {
            let opener = scope.spawn(|| {
                assert!(matches!(
                    Writer::try_open(&path),
                    Err(Error::NoReader { .. })
                ));
                started.send(()).unwrap();
                Writer::open_within(&path, limit)
            });
            has_started.recv_timeout(LONG).unwrap();
            let reader = Reader::open(&path).unwrap();
            let writer = opener.join().unwrap().unwrap();
            assert_eq!(reader.identity(), writer.identity());
            writer
        });
        assert_eq!(writer.try_write(b"late").unwrap(), Written::NoReader);
    }
}

#[test]
fn both_ends_are_non_blocking_and_close_on_exec_and_no_end_is_both() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    for (end, access) in [
        (reader.as_fd(), OFlag::O_RDONLY),
        (writer.as_fd(), OFlag::O_WRONLY),
    ] {
        let status = OFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFL).unwrap());
        assert!(status.contains(OFlag::O_NONBLOCK), "got {status:?}");
        assert_eq!(status & OFlag::O_ACCMODE, access);
        let descriptor = FdFlag::from_bits_retain(fcntl(end, FcntlArg::F_GETFD).unwrap());
        assert!(
            descriptor.contains(FdFlag::FD_CLOEXEC),
            "got {descriptor:?}"
        );
    }
    assert_eq!(
        nix::unistd::read(&writer, &mut [0; 1]).unwrap_err(),
        Errno::EBADF
    );
    assert_eq!(nix::unistd::write(&reader, b"x").unwrap_err(), Errno::EBADF);
}

#[test]
fn an_end_that_gives_up_its_type_keeps_its_descriptor() {
    let (_folder, path) = fresh::fifo();
    let reader: OwnedFd = Reader::open(&path).unwrap().into();
    let writer: OwnedFd = Writer::try_open(&path).unwrap().into();
    assert_eq!(nix::unistd::write(&writer, b"bytes").unwrap(), 5);
    let mut buffer = [0; 16];
    assert_eq!(nix::unistd::read(&reader, &mut buffer).unwrap(), 5);
    assert_eq!(
        nix::unistd::read(&reader, &mut buffer).unwrap_err(),
        Errno::EAGAIN
    );
}

#[test]
fn waiting_for_a_reader_ends_when_one_opens_and_at_the_deadline() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    writer.wait_for_reader(Duration::ZERO).unwrap();
    drop(reader);
    assert_eq!(writer.wait_writable(LONG).unwrap(), Writable::NoReader);
    let error = writer
        .wait_for_reader(Duration::from_millis(20))
        .unwrap_err();
    assert!(matches!(error, Error::NoReader { .. }), "got {error:?}");

    let (started, has_started) = mpsc::channel();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            started.send(()).unwrap();
            writer.wait_for_reader(LONG)
        });
        has_started.recv_timeout(LONG).unwrap();
        let reader = Reader::open(&path).unwrap();
        waiter.join().unwrap().unwrap();
        drop(reader);
    });
}
