//! Edge: storage that hangs (contract MON-7, HEAL-4).

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fifo::Written;
use nix::sys::signal::Signal;

use crate::frozen_disk::{Disk, hangs};
use crate::subject::Logmon;
use crate::support::{LIMIT, Place, lines, wait_until, write_all};

#[test]
fn a_stop_ends_in_time_although_the_storage_hangs_and_leaves_the_rest_in_the_fifo() {
    let place = Place::new();
    let test = "a_stop_ends_in_time_although_the_storage_hangs";
    let Some(disk) = Disk::mount(&place.path("logs"), test) else {
        return;
    };
    let logmon = place.start_command(kept(&place));
    place.write(&lines(0, 3));
    place.wait_for_log(&lines(0, 3));
    let frozen = disk.freeze();
    let writer = place.writer();
    assert_eq!(writer.try_write(&lines(3, 1)).unwrap(), Written::Bytes(100));
    wait_until("logmon hangs in its storage", || hangs(logmon.pid()));
    assert_eq!(
        writer.try_write(&lines(4, 600)).unwrap(),
        Written::Bytes(60_000),
        "the task writes on while the storage hangs"
    );
    let begun = Instant::now();
    logmon.signal(Signal::SIGTERM);
    wait_until("it says that it ends", || {
        place.diagnostics().contains("the storage of")
    });
    let said_after = begun.elapsed();
    drop(frozen);
    assert_eq!(logmon.wait(), Some(71));
    // The rule says 2 s; the rest is for a loaded machine.
    assert!(
        said_after < Duration::from_secs(6).min(LIMIT),
        "{said_after:?}"
    );
    // What was on its way waits at the keeper, and the rest in the FIFO, for the next life.
    let logmon = place.start_command(kept(&place));
    wait_until("all of it is in the log", || place.log() == lines(0, 604));
    drop(writer);
    assert_eq!(logmon.stop().0, Some(0));
}

fn kept(place: &Place) -> Command {
    let mut command = place.command("3", "1MiB");
    command.arg("--keeper").arg(place.path("keep/keeper.sock"));
    command
}

#[test]
fn streams_go_on_although_the_diagnostics_lie_on_a_disk_that_hangs() {
    let place = Place::new();
    std::fs::create_dir(place.path("disk")).unwrap();
    let test = "streams_go_on_although_the_diagnostics_lie_on_a_disk_that_hangs";
    let Some(disk) = Disk::mount(&place.path("disk"), test) else {
        return;
    };
    let diagnostics = place.path("disk/diagnostics");
    let mut child = place
        .command("1000", "200")
        .args(["--log-level", "debug"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(&diagnostics).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let logmon = Logmon::of(child);
    let frozen = disk.freeze();
    let writer = place.writer();
    write_all(&writer, &lines(0, 100));
    wait_until("a line of diagnostics hangs", || hangs(logmon.pid()));
    write_all(&writer, &lines(100, 100));
    place.wait_for_log(&lines(0, 200));
    drop(frozen);
    drop(writer);
    assert_eq!(logmon.stop().0, Some(0));
    let told = std::fs::read_to_string(&diagnostics).unwrap();
    assert!(told.contains("stopped"), "{told}");
}
