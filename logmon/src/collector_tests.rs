//! Edge: starts that are refused, on real FIFOs.

use std::path::Path;

use fifo::{Lock, Writer, Written};

use super::*;
use crate::collect::OnFull;
use crate::config::{RawConfig, RawStream};

/// Both streams of a task, with FIFOs `out` and `err` and the log files in this folder.
fn both(folder: &Path) -> Vec<StreamConfig> {
    let stream = |fifo: &str, name: &str| {
        Some(RawStream {
            fifo: folder.join(fifo),
            name: name.into(),
        })
    };
    let raw = RawConfig {
        log_dir: folder.to_owned(),
        trusted_root: None,
        stdout: stream("out", "web.stdout"),
        stderr: stream("err", "web.stderr"),
        max_files: "3".into(),
        max_file_size: "64KiB".into(),
        line_guard: "32KiB".into(),
        on_full: OnFull::Block,
        fifo_mode: "0600".into(),
        fifo_owner: None,
    };
    raw.checked().unwrap()
}

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
    let refused = collector.start_all(both(folder.path()));
    assert!(matches!(refused, Err(Error::Fifo(_))), "{refused:?}");
    assert!(collector.running.is_empty(), "{collector:?}");
    assert_eq!(spare.fill_level().unwrap(), 5);
    assert_eq!(spare.try_lock().unwrap(), Lock::Acquired);
    drop(spare);

    std::fs::remove_file(folder.path().join("err")).unwrap();
    collector.start_all(both(folder.path())).unwrap();
    drop(writer);
    let summaries = collector.stop().await.unwrap();
    let written: Vec<_> = summaries
        .iter()
        .map(|summary| summary.counters.written_bytes)
        .collect();
    assert_eq!(written, [5, 0]);
}
