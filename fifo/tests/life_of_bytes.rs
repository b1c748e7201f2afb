//! Which bytes live and which are gone, and how an end is revived. These tests are an edge.

#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share may panic as tests do"
)]

mod fresh;

use std::time::Duration;

use fifo::{ReadOutcome, Readable, Reader, Writable, Writer, Written};

const LONG: Duration = Duration::from_secs(30);
const AT_ONCE: Duration = Duration::ZERO;

/// Everything that is in the pipe now.
fn drain(reader: &Reader) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 512];
    while let ReadOutcome::Bytes(count) = reader.try_read(&mut buffer).unwrap() {
        all.extend_from_slice(&buffer[..count]);
    }
    all
}

#[test]
fn a_read_gives_no_writer_before_the_first_one_and_after_the_last_one() {
    let (_folder, path) = fresh::fifo();
    let mut buffer = [0; 16];
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.try_read(&mut buffer).unwrap(), ReadOutcome::NoWriter);

    let first = Writer::try_open(&path).unwrap();
    assert_eq!(reader.try_read(&mut buffer).unwrap(), ReadOutcome::Empty);
    let second = Writer::try_open(&path).unwrap();
    drop(first);
    assert_eq!(reader.try_read(&mut buffer).unwrap(), ReadOutcome::Empty);
    drop(second);
    assert_eq!(reader.try_read(&mut buffer).unwrap(), ReadOutcome::NoWriter);
}

#[test]
fn a_wait_tells_bytes_from_no_writer_and_from_nothing() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    // Before the first writer the kernel is silent.
    assert_eq!(
        reader.wait_readable(Duration::from_millis(5)).unwrap(),
        Readable::TimedOut
    );
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(reader.wait_readable(AT_ONCE).unwrap(), Readable::TimedOut);
    assert_eq!(writer.try_write(b"x").unwrap(), Written::Bytes(1));
    assert_eq!(reader.wait_readable(LONG).unwrap(), Readable::Ready);
    drop(writer);
    // The byte comes before the end.
    assert_eq!(reader.wait_readable(LONG).unwrap(), Readable::Ready);
    assert_eq!(drain(&reader), b"x");
    assert_eq!(reader.wait_readable(LONG).unwrap(), Readable::NoWriter);
    assert_eq!(reader.wait_readable(LONG).unwrap(), Readable::NoWriter);
}

#[test]
fn a_waiting_reader_is_woken_by_bytes() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| reader.wait_readable(LONG).unwrap());
        assert_eq!(writer.try_write(b"x").unwrap(), Written::Bytes(1));
        assert_eq!(waiter.join().unwrap(), Readable::Ready);
    });
}

#[test]
fn a_new_writer_revives_the_same_reader() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    for generation in 0..100_u32 {
        let writer = Writer::try_open(&path).unwrap();
        let chunk = generation.to_string();
        assert_eq!(
            writer.try_write(chunk.as_bytes()).unwrap(),
            Written::Bytes(chunk.len())
        );
        drop(writer);
        assert_eq!(reader.wait_readable(LONG).unwrap(), Readable::Ready);
        assert_eq!(drain(&reader), chunk.as_bytes());
        assert_eq!(reader.try_read(&mut [0; 1]).unwrap(), ReadOutcome::NoWriter);
    }
}

#[test]
fn a_new_reader_revives_the_same_writer_and_gets_the_bytes_in_the_pipe() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"kept").unwrap(), Written::Bytes(4));
    drop(reader);

    assert_eq!(writer.try_write(b"refused").unwrap(), Written::NoReader);
    assert_eq!(writer.wait_writable(LONG).unwrap(), Writable::NoReader);
    assert_eq!(writer.fill_level().unwrap(), 4);

    let reader = Reader::open(&path).unwrap();
    assert_eq!(writer.wait_writable(LONG).unwrap(), Writable::Ready);
    assert_eq!(writer.try_write(b", resumed").unwrap(), Written::Bytes(9));
    assert_eq!(drain(&reader), b"kept, resumed");
}

#[test]
fn opening_the_new_reader_before_the_old_one_closes_loses_nothing() {
    let (_folder, path) = fresh::fifo();
    let mut reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"old").unwrap(), Written::Bytes(3));
    drop(writer);
    for _ in 0..10 {
        let next = Reader::open(&path).unwrap();
        drop(std::mem::replace(&mut reader, next));
    }
    assert_eq!(reader.fill_level().unwrap(), 3);
    assert_eq!(drain(&reader), b"old");
}

#[test]
fn opening_the_new_writer_before_the_old_one_closes_keeps_the_bytes_without_a_reader() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let old = Writer::try_open(&path).unwrap();
    assert_eq!(old.try_write(b"old").unwrap(), Written::Bytes(3));
    let new = Writer::try_open(&path).unwrap();
    drop(old);
    drop(reader);
    assert_eq!(new.fill_level().unwrap(), 3);
    assert_eq!(drain(&Reader::open(&path).unwrap()), b"old");
}

#[test]
fn closing_the_last_end_discards_the_bytes() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"gone").unwrap(), Written::Bytes(4));
    drop(reader);
    drop(writer);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.fill_level().unwrap(), 0);
    assert_eq!(
        reader.try_read(&mut [0; 16]).unwrap(),
        ReadOutcome::NoWriter
    );
}

#[test]
fn both_ends_see_the_same_fill_level() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(
        (reader.fill_level().unwrap(), writer.fill_level().unwrap()),
        (0, 0)
    );
    assert_eq!(writer.try_write(&[7; 1000]).unwrap(), Written::Bytes(1000));
    assert_eq!(
        (reader.fill_level().unwrap(), writer.fill_level().unwrap()),
        (1000, 1000)
    );
    assert_eq!(
        reader.try_read(&mut [0; 400]).unwrap(),
        ReadOutcome::Bytes(400)
    );
    assert_eq!(
        (reader.fill_level().unwrap(), writer.fill_level().unwrap()),
        (600, 600)
    );
}

#[test]
fn an_empty_chunk_and_an_empty_buffer_give_no_bytes_and_no_verdict() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.try_read(&mut []).unwrap(), ReadOutcome::Bytes(0));
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(writer.try_write(b"x").unwrap(), Written::Bytes(1));
    assert_eq!(reader.try_read(&mut []).unwrap(), ReadOutcome::Bytes(0));
    assert_eq!(drain(&reader), b"x");
    drop(reader);
    assert_eq!(writer.try_write(b"").unwrap(), Written::Bytes(0));
}
