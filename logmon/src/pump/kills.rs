//! Edge: a life of a stream is killed again and again while somebody else holds its pipes (contract
//! MON-8). The test is its own keeper, and its own binary, started again, is the life.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fifo::{Reader, Writable, Writer, Written};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::staging::StagingPipe;
use crate::collect::OnFull;
use crate::config::StreamConfig;
use crate::limits::Limits;
use crate::mailbox::mailbox;
use crate::name::StreamName;
use crate::stream::{Listing, Opening};

/// Tells the folder to the life; without it the life is a test that has nothing to do.
const FOLDER: &str = "LOGMON_TEST_LIFE_IN";
const LIMIT: Duration = Duration::from_secs(60);
const FILE_BYTES: u64 = 300_000;
const LINE_BYTES: usize = 100;

fn config(folder: &Path) -> StreamConfig {
    StreamConfig {
        kind: crate::name::StreamKind::Stdout,
        fifo: folder.join("fifo").into(),
        fifo_mode: 0o600,
        fifo_owner: None,
        name: StreamName::parse(OsStr::new("t")).unwrap(),
        log_dir: folder.join("logs").into(),
        trusted_root: None,
        limits: Limits::checked(100_000, FILE_BYTES, 32_768).unwrap(),
        on_full: OnFull::Block,
    }
}

#[test]
fn a_life_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // Standard input is the read end of the staging pipe; the other end is opened through it.
        let read_end = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let write_end = open("/proc/self/fd/0", flags, Mode::empty()).unwrap();
        let staging = StagingPipe::from_ends(read_end, write_end);
        let config = Arc::new(config(Path::new(&folder)));
        let opening = Opening::begin(config).unwrap();
        let mut listing = Listing::of([&opening]);
        let stream = opening.finish(Some(staging), &mut listing).unwrap();
        let (_commander, mailbox) = mailbox();
        stream.collect(mailbox).await;
    });
}

fn start(folder: &Path, staging: &OwnedFd) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "pump::kills::a_life_that_is_killed",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .stdin(Stdio::from(staging.try_clone().unwrap()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Writes until everything is in the pipe, `piece` bytes at a time. It fails when the reader is gone.
fn write(path: &Path, stream: &[u8], piece: usize) {
    let writer = Writer::open_within(path, LIMIT).unwrap();
    for mut part in stream.chunks(piece) {
        while !part.is_empty() {
            match writer.try_write(part).unwrap() {
                Written::Bytes(bytes) => part = &part[bytes..],
                Written::Full => assert_eq!(writer.wait_writable(LIMIT).unwrap(), Writable::Ready),
                Written::NoReader => panic!("the writer sees EPIPE"),
            }
        }
    }
}

/// Up to 3 ms.
fn random_moment() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Duration::from_nanos(u64::from(now.unwrap().subsec_nanos()) / 10 % 3_000_000)
}

fn log_bytes(folder: &Path) -> u64 {
    fs::read_dir(folder.join("logs"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum()
}

/// The log files by index.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut files: Vec<(u32, Vec<u8>)> = fs::read_dir(folder.join("logs"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (
                name.strip_prefix("t.").unwrap().parse().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files.into_iter().map(|(_, bytes)| bytes).collect()
}

/// Writes numbered lines in pieces of these lengths while lives are killed at random moments, at least
/// until all is logged and so many were killed.
fn play(bytes: usize, piece: usize, kills: usize) {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::create_dir(folder.join("logs")).unwrap();
    fifo::create(&folder.join("fifo"), 0o600).unwrap();
    let _spare = Reader::open(folder.join("fifo")).unwrap();
    let staging = StagingPipe::new().unwrap();
    let [read_end, _write_end] = staging.ends();
    let held = read_end.try_clone_to_owned().unwrap();
    let stream: Vec<u8> = (0..bytes / LINE_BYTES)
        .flat_map(|number| format!("{number:099}\n").into_bytes())
        .collect();
    let deadline = Instant::now() + LIMIT;
    let mut killed = 0;
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&folder.join("fifo"), &stream, piece));
        while killed < kills || log_bytes(folder) < stream.len() as u64 {
            assert!(
                Instant::now() < deadline,
                "not within {LIMIT:?}, {killed} kills"
            );
            let before = log_bytes(folder);
            let mut life = start(folder, &held);
            if killed >= kills {
                while log_bytes(folder) < stream.len() as u64 {
                    assert!(Instant::now() < deadline, "the rest is not logged");
                    std::thread::yield_now();
                }
            } else {
                // It is at work when the log grows, or there is nothing left to do.
                while log_bytes(folder) == before && before < stream.len() as u64 {
                    assert!(Instant::now() < deadline, "it does not begin");
                    std::thread::yield_now();
                }
                let moment = Instant::now() + random_moment();
                while Instant::now() < moment {
                    std::hint::spin_loop();
                }
            }
            life.kill().unwrap();
            life.wait().unwrap();
            killed += 1;
        }
        writer.join().unwrap();
    });
    let files = files(folder);
    assert!(
        files.concat() == stream,
        "lost or repeated after {killed} kills"
    );
    for file in &files {
        assert!(file.ends_with(b"\n") || file.is_empty(), "a line is split");
        assert!(file.len() as u64 <= FILE_BYTES);
    }
    assert!(killed > kills);
}

#[test]
fn lines_one_by_one_survive_kills() {
    play(30_000_000, LINE_BYTES, 15);
}

#[test]
fn blocks_survive_kills() {
    play(120_000_000, 65_536, 15);
}

#[test]
fn lines_in_pieces_survive_kills() {
    play(20_000_000, 37, 15);
}
