//! Edge: the pump on real pipes and files, with a file that refuses splice among them.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use fifo::{AsyncReader, Reader, Writer, Written};
use tempfile::TempDir;
use tokio::time::timeout;

use super::either::{Filled, Pump, refuses_splice};
use super::places;
use super::staging::StagingPipe;
use crate::collect::Reading;
use crate::status::PumpKind;

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(30);

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        fifo::create(&dir.path().join("fifo"), 0o600).unwrap();
        Place { dir }
    }

    fn pump(&self, staging: Option<StagingPipe>) -> (Pump, Writer) {
        let path = self.dir.path().join("fifo");
        let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
        let writer = Writer::try_open(&path).unwrap();
        (Pump::new(reader, staging).unwrap(), writer)
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn log(&self) -> Vec<u8> {
        std::fs::read(self.log_path()).unwrap()
    }

    fn file(&self) -> File {
        File::create(self.log_path()).unwrap()
    }

    /// A file that splice(2) refuses: one that is open for appending.
    fn refusing_file(&self) -> File {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.log_path())
            .unwrap()
    }
}

fn staging() -> Option<StagingPipe> {
    Some(StagingPipe::new().unwrap())
}

fn put(writer: &Writer, bytes: &[u8]) {
    assert_eq!(
        writer.try_write(bytes).unwrap(),
        Written::Bytes(bytes.len())
    );
}

async fn fill(pump: &mut Pump, bytes: usize) {
    assert_eq!(
        pump.fill(Reading::Bytes).await.unwrap(),
        Filled::Bytes(bytes)
    );
}

#[tokio::test]
async fn bytes_are_known_then_seen_then_written_and_are_in_a_pipe_until_then() {
    let place = Place::new();
    let (mut pump, writer) = place.pump(staging());
    assert_eq!(pump.kind(), PumpKind::Splice);
    put(&writer, b"first\nsecond\n");
    fill(&mut pump, 13).await;
    assert_eq!((pump.window().seen, pump.window().bytes), (&b""[..], 13));
    pump.look(8).unwrap();
    assert_eq!(pump.window().seen, b"first\nse");
    assert_eq!(writer.fill_level().unwrap(), 13);
    let file = place.file();
    assert_eq!(pump.write(&file, 6).unwrap(), 6);
    pump.consume(6);
    assert_eq!((pump.window().seen, pump.window().bytes), (&b"se"[..], 7));
    assert_eq!(writer.fill_level().unwrap(), 7);
    assert_eq!(pump.write(&file, 7).unwrap(), 7);
    pump.consume(7);
    assert_eq!(place.log(), b"first\nsecond\n");
    assert_eq!(pump.window().bytes, 0);
    drop(writer);
    assert_eq!(pump.fill(Reading::Bytes).await.unwrap(), Filled::NoWriter);
}

#[tokio::test]
async fn after_a_large_find_the_next_byte_and_the_leaving_of_the_last_writer_are_noticed() {
    let place = Place::new();
    let (mut pump, writer) = place.pump(staging());
    let file = place.file();
    let large = [b'x'; 40 * 1024];
    put(&writer, &large);
    fill(&mut pump, large.len()).await;
    while pump.window().bytes > 0 {
        let written = pump.write(&file, pump.window().bytes).unwrap();
        pump.consume(written);
    }
    let next = async {
        tokio::task::yield_now().await;
        put(&writer, b"next\n");
    };
    let (filled, ()) = timeout(LONG, async {
        tokio::join!(pump.fill(Reading::Bytes), next)
    })
    .await
    .expect("the next byte is noticed");
    assert_eq!(filled.unwrap(), Filled::Bytes(5));
    put(&writer, &large);
    fill(&mut pump, large.len()).await;
    drop(writer);
    let filled = timeout(LONG, pump.fill(Reading::Bytes))
        .await
        .expect("its leaving is noticed");
    assert_eq!(filled.unwrap(), Filled::NoWriter);
}

#[tokio::test]
async fn a_file_that_refuses_splice_gets_what_was_staged_and_what_was_not() {
    let place = Place::new();
    let (mut pump, writer) = place.pump(staging());
    put(&writer, b"first\nsecond\n");
    fill(&mut pump, 13).await;
    let file = place.refusing_file();
    let refusal = pump.write(&file, 6).unwrap_err();
    assert!(refuses_splice(&refusal), "{refusal}");
    assert_eq!(writer.fill_level().unwrap(), 7, "6 bytes are staged");
    pump.give_up_splice().unwrap();
    assert_eq!(pump.kind(), PumpKind::ReadWrite);
    assert_eq!(pump.window().seen, b"first\nsecond\n");
    assert_eq!(pump.write(&file, 13).unwrap(), 13);
    pump.consume(13);
    put(&writer, b"third\n");
    fill(&mut pump, 6).await;
    assert_eq!(pump.write(&file, 6).unwrap(), 6);
    assert_eq!(place.log(), b"first\nsecond\nthird\n");
}

#[tokio::test]
async fn the_window_is_taken_into_memory_for_a_time() {
    let place = Place::new();
    let (mut pump, writer) = place.pump(staging());
    put(&writer, b"kept\n");
    fill(&mut pump, 5).await;
    pump.take_in().unwrap();
    put(&writer, b"dropped\n");
    fill(&mut pump, 8).await;
    assert_eq!(pump.window().seen, b"kept\ndropped\n");
    pump.discard(5..13);
    pump.let_go();
    assert_eq!(pump.kind(), PumpKind::ReadWrite, "memory is not empty");
    let file = place.file();
    assert_eq!(pump.write(&file, 5).unwrap(), 5);
    pump.consume(5);
    pump.let_go();
    assert_eq!(pump.kind(), PumpKind::Splice);
    assert_eq!(place.log(), b"kept\n");
}

#[tokio::test]
async fn what_was_staged_is_kept_when_somebody_else_has_read_the_rest() {
    let place = Place::new();
    let (mut pump, writer) = place.pump(staging());
    put(&writer, b"staged, stolen\n");
    fill(&mut pump, 15).await;
    let read_only = File::open("/dev/null").unwrap();
    pump.write(&read_only, 8).unwrap_err();
    let thief = Reader::open(place.dir.path().join("fifo")).unwrap();
    assert_eq!(
        thief.try_read(&mut [0; 64]).unwrap(),
        fifo::ReadOutcome::Bytes(7)
    );
    pump.take_in().unwrap_err();
    assert_eq!(pump.window().seen, b"staged, ");
    let file = place.file();
    assert_eq!(pump.write(&file, 8).unwrap(), 8);
    pump.consume(8);
    pump.let_go();
    assert_eq!(pump.kind(), PumpKind::Splice);
    put(&writer, b"and on\n");
    fill(&mut pump, 7).await;
    assert_eq!(pump.write(&file, 7).unwrap(), 7);
    assert_eq!(place.log(), b"staged, and on\n");
}

#[tokio::test]
async fn what_an_earlier_life_staged_comes_first_by_either_way() {
    for by_splice in [true, false] {
        let place = Place::new();
        let (mut earlier, writer) = place.pump(staging());
        put(&writer, b"staged, not staged\n");
        fill(&mut earlier, 19).await;
        let read_only = File::open("/dev/null").unwrap();
        earlier.write(&read_only, 8).unwrap_err();
        let [read_end, write_end] = earlier
            .staging()
            .unwrap()
            .ends()
            .map(|end| end.try_clone_to_owned().unwrap());
        let spare = Reader::open(place.dir.path().join("fifo")).unwrap();
        drop(earlier);
        let (mut pump, _writer) = place.pump(Some(StagingPipe::from_ends(read_end, write_end)));
        if !by_splice {
            pump.give_up_splice().unwrap();
        }
        assert_eq!(pump.taken_bytes(), 8);
        fill(&mut pump, 8).await;
        fill(&mut pump, 11).await;
        pump.look(19).unwrap();
        assert_eq!(pump.window().seen, b"staged, not staged\n");
        let file = place.file();
        while pump.window().bytes > 0 {
            let bytes = pump.window().bytes;
            let written = pump.write(file.as_fd(), bytes).unwrap();
            pump.consume(written);
        }
        assert_eq!(place.log(), b"staged, not staged\n");
        drop(spare);
    }
}

#[tokio::test]
async fn a_window_in_many_slots_is_seen_whole() {
    let place = Place::new();
    let (mut pump, writer) = place.pump(staging());
    // A write of 2,049 bytes leaves no room for another one in its page.
    let piece = [b'x'; 2049];
    for _ in 0..12 {
        put(&writer, &piece);
    }
    fill(&mut pump, 12 * 2049).await;
    pump.look(12 * 2049).unwrap();
    assert_eq!(pump.window().seen.len(), 12 * 2049);
}

#[tokio::test]
async fn a_writer_that_left_before_the_reader_came_is_noticed_after_a_held_line() {
    let place = Place::new();
    let path = place.dir.path().join("fifo");
    let spare = Reader::open(&path).unwrap();
    put(&Writer::try_open(&path).unwrap(), b"held");
    let reader = AsyncReader::new(Reader::open(&path).unwrap()).unwrap();
    let mut pump = Pump::new(reader, staging()).unwrap();
    fill(&mut pump, 4).await;
    // The rest of the line does not come: nobody is there to write it, which can't be seen yet.
    let waited = timeout(Duration::from_millis(20), pump.fill(Reading::Bytes)).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(pump.write(place.file(), 4).unwrap(), 4);
    pump.consume(4);
    let noticed = timeout(Duration::from_secs(20), pump.fill(Reading::Bytes)).await;
    assert_eq!(noticed.unwrap().unwrap(), Filled::NoWriter);
    drop(spare);
}

#[tokio::test]
#[expect(
    clippy::await_holding_lock,
    reason = "the places are those of the process, and this runtime has one thread"
)]
async fn a_pump_that_waits_for_bytes_gives_its_timer_back() {
    let _alone = places::tests::alone();
    for staging in [staging(), None] {
        // A process that another test begins may hold a FIFO for a moment, and so what lies in it.
        let place = Place::new();
        let (mut pump, writer) = place.pump(staging);
        assert!(pump.begin_rest(Duration::from_micros(300)).unwrap());
        pump.rest_over().await.unwrap();
        assert!(pump.has_timer(), "for the next rest");
        assert_eq!(
            writer.try_write(b"there is something").unwrap(),
            Written::Bytes(18)
        );
        assert_eq!(pump.fill(Reading::AtOnce).await.unwrap(), Filled::Bytes(18));
        let nothing = timeout(Duration::from_millis(20), pump.fill(Reading::Bytes)).await;
        nothing.expect_err("no more has come");
        assert!(!pump.has_timer());
        assert!(pump.begin_rest(Duration::from_micros(300)).unwrap());
        let rested = timeout(LONG, pump.rest_over()).await;
        rested.expect("a new timer ends as well").unwrap();
    }
}
