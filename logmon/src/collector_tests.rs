//! Edge: starts that are refused, on real FIFOs.

use fifo::{Lock, Writer, Written};

use super::*;
use crate::config::both_streams;

#[tokio::test]
async fn when_one_stream_is_refused_none_of_all_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fifo::create(&out, 0o600).unwrap();
    let spare = Reader::open(&out).unwrap();
    let writer = Writer::try_open(&out).unwrap();
    assert_eq!(writer.try_write(b"kept\n").unwrap(), Written::Bytes(5));
    std::fs::write(folder.path().join("err"), "no FIFO").unwrap();

    let mut collector = Collector::new();
    let refused = collector.start_together(both_streams(folder.path()));
    assert!(matches!(refused, Err(Error::Fifo(_))), "{refused:?}");
    assert!(collector.running.is_empty(), "{collector:?}");
    assert_eq!(spare.fill_level().unwrap(), 5);
    assert_eq!(spare.try_lock().unwrap(), Lock::Acquired);
    drop(spare);

    std::fs::remove_file(folder.path().join("err")).unwrap();
    collector
        .start_together(both_streams(folder.path()))
        .unwrap();
    drop(writer);
    let summaries = collector.stop().await.unwrap();
    let written: Vec<_> = summaries
        .iter()
        .map(|summary| summary.counters.written_bytes)
        .collect();
    assert_eq!(written, [5, 0]);
}
