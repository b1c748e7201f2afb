//! Looking at a FIFO without taking from it, and readers that came from elsewhere. These tests are an edge.

mod fresh;

use std::os::fd::{AsFd, OwnedFd};

use fifo::{Error, ReadOutcome, Reader, Writer, Written};
use nix::errno::Errno;

#[test]
fn a_fifo_is_deserted_before_the_first_writer_and_after_the_last() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    assert!(reader.is_deserted().unwrap());
    let writer = Writer::try_open(&path).unwrap();
    assert!(!reader.is_deserted().unwrap());
    let late = Reader::open(&path).unwrap();
    assert!(
        !late.is_deserted().unwrap(),
        "a writer that it has not seen come"
    );
    drop(writer);
    assert!(reader.is_deserted().unwrap());
    assert!(late.is_deserted().unwrap());
}

#[test]
fn bytes_without_a_writer_are_seen_and_stay() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"abc").unwrap(), Written::Bytes(3));
    drop(writer);
    assert!(!reader.is_deserted().unwrap());
    let mut buffer = [0; 8];
    assert_eq!(reader.try_read(&mut buffer).unwrap(), ReadOutcome::Bytes(3));
    assert_eq!(&buffer[..3], b"abc");
    assert!(reader.is_deserted().unwrap());
}

#[test]
fn an_adopted_read_end_is_the_same_pipe() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let adopted = Reader::adopt(reader.as_fd().try_clone_to_owned().unwrap(), &path).unwrap();
    assert_eq!(adopted.identity(), reader.identity());
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"x").unwrap(), Written::Bytes(1));
    assert_eq!(
        adopted.try_read(&mut [0; 4]).unwrap(),
        ReadOutcome::Bytes(1)
    );
}

#[test]
fn a_write_end_and_what_is_no_fifo_are_not_adopted_as_a_reader() {
    let (folder, path) = fresh::fifo();
    let _reader = Reader::open(&path).unwrap();
    let writer: OwnedFd = Writer::try_open(&path).unwrap().into();
    let refused = Reader::adopt(writer, &path).unwrap_err();
    let errno = refused.io_error().and_then(std::io::Error::raw_os_error);
    assert_eq!(errno, Some(Errno::EBADF as i32), "{refused}");
    let file = OwnedFd::from(std::fs::File::open(folder.path()).unwrap());
    assert!(matches!(
        Reader::adopt(file, &path),
        Err(Error::NotAFifo { .. })
    ));
}
