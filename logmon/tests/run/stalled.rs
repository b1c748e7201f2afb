//! Edge: storage that hangs (contract MON-7, HEAL-4).

use std::process::Command;
use std::time::{Duration, Instant};

use fifo::Written;
use nix::sys::signal::Signal;

use crate::frozen_disk::{Disk, hangs};
use crate::support::{LIMIT, Place, lines, wait_until};

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
    assert!(
        said_after < Duration::from_secs(2).min(LIMIT),
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
