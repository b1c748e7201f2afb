//! Edge: what is recorded of lost output, and that it is exact (contract DATA-6, HEAL-2).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;

use crate::faults::{lift, number_after, start_with_small_disk};
use crate::subject::Logmon;
use crate::support::{Place, wait_until, write_all};

/// The records of dropped output in this folder: how many bytes are missing, at which place.
pub(crate) fn gaps(folder: &Path) -> Vec<(usize, u64, usize)> {
    records(folder)
        .iter()
        .filter(|record| record.get("dropped_bytes").is_some())
        .map(|record| {
            assert_eq!(record["stream"], "demo.stdout");
            assert_eq!(record["places"], 1, "{record}");
            assert!(record["from"].as_str() <= record["until"].as_str());
            (
                number(record, "dropped_bytes"),
                record["index"].as_u64().unwrap(),
                number(record, "offset"),
            )
        })
        .collect()
}

/// All records in this folder, the oldest first.
pub(crate) fn records(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("demo.stdout.gaps")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn number(record: &Value, key: &str) -> usize {
    usize::try_from(record[key].as_u64().unwrap()).unwrap()
}

/// Asserts that the files are the input without the bytes that the records name.
#[track_caller]
pub(crate) fn assert_exact(input: &[u8], files: &[(u64, Vec<u8>)], gaps: &[(usize, u64, usize)]) {
    let mut expected = Vec::new();
    let mut rest = input;
    for (index, bytes) in files {
        let mut at = 0;
        for (missing, _, offset) in gaps.iter().filter(|(_, in_file, _)| in_file == index) {
            expected.extend_from_slice(&rest[..offset - at]);
            rest = &rest[offset - at + missing..];
            at = *offset;
        }
        expected.extend_from_slice(&rest[..bytes.len() - at]);
        rest = &rest[bytes.len() - at..];
    }
    let log: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(log == expected, "the records do not fit: {gaps:?}");
    assert_eq!(rest.len(), 0, "bytes are missing that no record names");
}

/// Lines of 100 bytes that mostly differ in their first byte, so that a gap that is one byte off is seen.
fn lines(first: usize, count: usize) -> Vec<u8> {
    let line = |number: usize| {
        let letter = char::from(b'a' + u8::try_from(number * 2_654_435_761 / 256 % 26).unwrap());
        format!("{letter}{number:098}\n").into_bytes()
    };
    (first..first + count).flat_map(line).collect()
}

/// Writes until output is dropped, and gives what was written.
fn write_until_dropping(place: &Place, writer: &fifo::Writer) -> Vec<u8> {
    let mut input = Vec::new();
    wait_until("output is dropped", || {
        let more = lines(input.len() / 100, 500);
        write_all(writer, &more);
        input.extend(more);
        place.diagnostics().contains("dropping output")
    });
    input
}

fn add(input: &mut Vec<u8>, writer: &fifo::Writer, count: usize) {
    let more = lines(input.len() / 100, count);
    write_all(writer, &more);
    input.extend(more);
}

#[test]
fn a_gap_is_recorded_with_its_exact_place_when_the_storage_takes_bytes_again() {
    let place = Place::new();
    let logmon = start_with_small_disk(&place, "drop");
    let writer = place.writer();
    let mut input = write_until_dropping(&place, &writer);
    add(&mut input, &writer, 5000);
    wait_until("all is read", || writer.fill_level().unwrap() == 0);
    assert_eq!(records(&place.path("logs")), [] as [Value; 0]);
    lift(&logmon);
    wait_until("the gap is recorded", || {
        !records(&place.path("logs")).is_empty()
    });
    add(&mut input, &writer, 50);
    wait_until("the new lines are there", || {
        place.log().ends_with(&input[input.len() - 5000..])
    });
    let pid = logmon.pid();
    assert!(fs::metadata(format!("/proc/{pid}")).is_ok());
    assert_eq!(logmon.stop().0, Some(0));
    let folder = place.path("logs");
    let gaps = gaps(&folder);
    assert_exact(&input, &place.files(), &gaps);
    let dropped: usize = gaps.iter().map(|(bytes, _, _)| bytes).sum();
    assert_eq!(dropped, input.len() - place.log().len());
    let last = records(&folder).pop().unwrap();
    assert_eq!(number(&last, "dropped_in_total"), dropped);
    let told = place.diagnostics();
    let stopped = told
        .lines()
        .find(|line| line.contains(" stopped "))
        .unwrap();
    assert_eq!(number_after(stopped, "dropped_bytes="), dropped);
    // The next life takes the file of records for what it is.
    let next = place.start("5", "1MiB");
    let before = place.log();
    place.write(b"after\n");
    place.wait_for_log(&[before, b"after\n".to_vec()].concat());
    assert_eq!(next.stop().0, Some(0));
    assert!(!place.diagnostics().contains("left alone"), "{told}");
}

#[test]
fn a_stop_records_the_gap_although_the_log_takes_no_bytes() {
    let place = Place::new();
    let logmon = start_with_small_disk(&place, "drop");
    let writer = place.writer();
    let mut input = write_until_dropping(&place, &writer);
    add(&mut input, &writer, 1000);
    wait_until("all is read", || writer.fill_level().unwrap() == 0);
    assert_eq!(logmon.stop().0, Some(71));
    let told = place.diagnostics();
    let lost = told
        .lines()
        .find(|line| line.contains("lost_bytes="))
        .unwrap();
    let gaps = gaps(&place.path("logs"));
    assert!(
        gaps.iter()
            .all(|(_, index, offset)| (*index, *offset) == (0, 10_240))
    );
    let dropped: usize = gaps.iter().map(|(bytes, _, _)| bytes).sum();
    assert_eq!(
        10_240 + dropped + number_after(lost, "lost_bytes="),
        input.len()
    );
}

#[test]
fn a_record_that_cannot_be_written_waits_and_collection_goes_on() {
    let place = Place::new();
    let in_the_way = place.log_file("demo.stdout.gaps");
    symlink(place.path("victim"), &in_the_way).unwrap();
    let logmon = start_with_small_disk(&place, "drop");
    let writer = place.writer();
    let mut input = write_until_dropping(&place, &writer);
    wait_until("all is read", || writer.fill_level().unwrap() == 0);
    lift(&logmon);
    wait_until("it says so", || {
        place.diagnostics().contains("not recorded yet")
    });
    add(&mut input, &writer, 500);
    wait_until("collection goes on", || {
        place.log().ends_with(&input[input.len() - 50_000..])
    });
    assert!(in_the_way.is_symlink());
    assert!(!place.path("victim").exists());
    fs::remove_file(&in_the_way).unwrap();
    wait_until("the gap is recorded", || {
        !records(&place.path("logs")).is_empty()
    });
    assert_exact(&input, &place.files(), &gaps(&place.path("logs")));
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn memory_does_not_grow_with_what_is_dropped() {
    let place = Place::new();
    let logmon = start_with_small_disk(&place, "drop");
    let writer = place.writer();
    write_until_dropping(&place, &writer);
    let chunk = lines(0, 10_000);
    let put = |logmon: &Logmon, times: usize| {
        for _ in 0..times {
            write_all(&writer, &chunk);
        }
        wait_until("all is read", || writer.fill_level().unwrap() == 0);
        logmon.peak_memory_bytes()
    };
    let early = put(&logmon, 5);
    let late = put(&logmon, 95);
    assert!(
        late - early < 2 << 20,
        "{early} bytes at first, {late} after 100 MB"
    );
}
