//! Small pipes, full pipes, short writes and several writers. These tests are an edge.

#![expect(
    clippy::unwrap_used,
    reason = "the functions that tests share may panic as tests do"
)]

mod fresh;

use std::time::Duration;

use fifo::{Error, PIPE_BUF, ReadOutcome, Readable, Reader, Writable, Writer, Written};

const LONG: Duration = Duration::from_secs(30);

fn pair_of(capacity: usize) -> (tempfile::TempDir, Reader, Writer) {
    let (folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    assert_eq!(reader.set_capacity(capacity).unwrap(), capacity);
    (folder, reader, writer)
}

/// Writes everything, waiting for room as often as needed.
fn write_all(writer: &Writer, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match writer.try_write(bytes).unwrap() {
            Written::Bytes(count) => bytes = &bytes[count..],
            Written::Full => {
                assert_eq!(writer.wait_writable(LONG).unwrap(), Writable::Ready);
            }
            Written::NoReader => panic!("the reader has left"),
        }
    }
}

/// Reads until the last writer has left.
fn read_to_end(reader: &Reader) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.try_read(&mut buffer).unwrap() {
            ReadOutcome::Bytes(count) => all.extend_from_slice(&buffer[..count]),
            ReadOutcome::Empty => {
                assert_ne!(reader.wait_readable(LONG).unwrap(), Readable::TimedOut);
            }
            ReadOutcome::NoWriter => return all,
        }
    }
}

#[test]
fn the_capacity_is_set_in_whole_pages_and_seen_from_both_ends() {
    let (_folder, reader, writer) = pair_of(4096);
    assert_eq!(
        (reader.capacity().unwrap(), writer.capacity().unwrap()),
        (4096, 4096)
    );
    assert_eq!(writer.set_capacity(4097).unwrap(), 8192);
    assert_eq!(
        (reader.capacity().unwrap(), writer.capacity().unwrap()),
        (8192, 8192)
    );
}

#[test]
fn the_capacity_is_gone_when_the_last_end_closes() {
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    let default = reader.capacity().unwrap();
    // Twice a page more or less: different from whatever this user gets.
    let other = if default == 4096 { 8192 } else { 4096 };
    assert_eq!(reader.set_capacity(other).unwrap(), other);
    let second = Reader::open(&path).unwrap();
    drop(reader);
    assert_eq!(second.capacity().unwrap(), other);
    drop(second);
    assert_eq!(Reader::open(&path).unwrap().capacity().unwrap(), default);
}

#[test]
fn a_capacity_below_the_content_is_refused_for_now() {
    let (_folder, _reader, writer) = pair_of(8192);
    assert_eq!(writer.try_write(&[1; 8192]).unwrap(), Written::Bytes(8192));
    let error = writer.set_capacity(4096).unwrap_err();
    assert!(
        matches!(error, Error::SetCapacity { bytes: 4096, .. }),
        "got {error:?}"
    );
    assert!(error.is_transient());
    assert_eq!(writer.capacity().unwrap(), 8192);
}

#[test]
fn an_impossible_capacity_is_refused() {
    let (_folder, reader, _writer) = pair_of(4096);
    for bytes in [usize::MAX, 1 << 40] {
        let error = reader.set_capacity(bytes).unwrap_err();
        assert!(matches!(error, Error::SetCapacity { .. }), "got {error:?}");
        assert!(!error.is_transient());
    }
}

#[test]
fn a_full_pipe_takes_nothing_until_a_page_is_free() {
    let (_folder, reader, writer) = pair_of(4096);
    assert_eq!(
        writer.try_write(&[b'a'; 4096]).unwrap(),
        Written::Bytes(4096)
    );
    assert_eq!(writer.try_write(b"b").unwrap(), Written::Full);
    assert_eq!(
        writer.wait_writable(Duration::ZERO).unwrap(),
        Writable::TimedOut
    );
    writer.wait_for_reader(Duration::ZERO).unwrap();

    // A page that is read in part is not free yet.
    assert_eq!(
        reader.try_read(&mut [0; 4095]).unwrap(),
        ReadOutcome::Bytes(4095)
    );
    assert_eq!(writer.try_write(b"b").unwrap(), Written::Full);
    assert_eq!(
        reader.try_read(&mut [0; 4095]).unwrap(),
        ReadOutcome::Bytes(1)
    );
    assert_eq!(writer.wait_writable(LONG).unwrap(), Writable::Ready);
    assert_eq!(writer.try_write(b"b").unwrap(), Written::Bytes(1));
}

#[test]
fn a_full_pipe_without_a_reader_has_no_reader() {
    let (_folder, reader, writer) = pair_of(4096);
    assert_eq!(
        writer.try_write(&[b'a'; 4096]).unwrap(),
        Written::Bytes(4096)
    );
    drop(reader);
    assert_eq!(writer.wait_writable(LONG).unwrap(), Writable::NoReader);
    assert_eq!(writer.try_write(b"b").unwrap(), Written::NoReader);
    assert_eq!(writer.fill_level().unwrap(), 4096);
}

#[test]
fn a_long_chunk_is_accepted_in_part_and_from_its_start() {
    let (_folder, reader, writer) = pair_of(4096);
    let chunk: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
    assert_eq!(writer.try_write(&chunk).unwrap(), Written::Bytes(4096));
    let mut buffer = [0; 8192];
    assert_eq!(
        reader.try_read(&mut buffer).unwrap(),
        ReadOutcome::Bytes(4096)
    );
    assert_eq!(&buffer[..4096], &chunk[..4096]);
}

#[test]
fn a_chunk_of_up_to_pipe_buf_is_accepted_whole_or_not_at_all() {
    for lying in [1, 100, 4095] {
        let (_folder, _reader, writer) = pair_of(4096);
        assert_eq!(
            writer.try_write(&vec![b'a'; lying]).unwrap(),
            Written::Bytes(lying)
        );
        assert_eq!(
            writer.try_write(&vec![b'b'; PIPE_BUF]).unwrap(),
            Written::Full
        );
        assert_eq!(writer.fill_level().unwrap(), lying);
    }
}

#[test]
fn a_million_bytes_cross_a_4_kib_pipe_in_order() {
    let (_folder, reader, writer) = pair_of(4096);
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 31 / 7) as u8).collect();
    let received = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| read_to_end(&reader));
        // Odd sizes, so that short writes and full pipes fall everywhere.
        for chunk in sent.chunks(9973) {
            write_all(&writer, chunk);
        }
        drop(writer);
        receiver.join().unwrap()
    });
    assert_eq!(received.len(), sent.len());
    assert!(received == sent, "the bytes differ");
}

#[test]
fn chunks_of_up_to_pipe_buf_from_several_writers_stay_contiguous() {
    const CHUNKS: usize = 300;
    let (_folder, path) = fresh::fifo();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.set_capacity(8192).unwrap(), 8192);
    let writers: Vec<(u8, Writer)> = (b'a'..b'e')
        .map(|letter| (letter, Writer::try_open(&path).unwrap()))
        .collect();

    let received = std::thread::scope(|scope| {
        for (letter, writer) in writers {
            scope.spawn(move || {
                for number in 0..CHUNKS {
                    // A letter and a length, and then so many letters; every length comes up.
                    let len = PIPE_BUF - number * 13 % (PIPE_BUF - 3);
                    let mut chunk = vec![letter; len];
                    chunk[1..3].copy_from_slice(&(len as u16).to_le_bytes());
                    loop {
                        match writer.try_write(&chunk).unwrap() {
                            Written::Bytes(count) => {
                                assert_eq!(count, len, "a short write of a short chunk");
                                break;
                            }
                            Written::Full => {
                                assert_eq!(writer.wait_writable(LONG).unwrap(), Writable::Ready);
                            }
                            Written::NoReader => panic!("the reader has left"),
                        }
                    }
                }
            });
        }
        read_to_end(&reader)
    });

    let mut rest = received.as_slice();
    let mut count = 0;
    let mut changes = 0;
    let mut previous = 0;
    while let [letter, low, high, ..] = *rest {
        let len = usize::from(u16::from_le_bytes([low, high]));
        assert!(
            rest[3..len].iter().all(|byte| *byte == letter),
            "chunk {count} is mixed"
        );
        rest = &rest[len..];
        count += 1;
        changes += usize::from(previous != letter);
        previous = letter;
    }
    assert!(rest.is_empty());
    assert_eq!(count, 4 * CHUNKS);
    // Otherwise the writers took turns as wholes, and the test has shown nothing.
    assert!(changes > 4, "the writers never met: {changes} changes");
}
