//! Edge: whose the FIFOs are that are made and adopted (contract MON-6, SEC-1, SEC-3). What needs root says
//! so and is skipped without it; what root can't be refused is tried as another user.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use nix::unistd::{getegid, geteuid};

use crate::subject::refusal;
use crate::support::{Place, copy_of_logmon, lines};

/// A user and a group that own nothing else here.
const STRANGER: u32 = 65_534;

/// `logmon run` with an owner for the FIFO, and its mode.
fn with_owner(place: &Place, owner: &str, mode: &str) -> Command {
    let mut command = place.command("2", "1000");
    command.args(["--fifo-owner", owner, "--fifo-mode", mode]);
    command
}

/// The same as a user without privileges.
fn as_stranger(place: &Place, owner: &str) -> Command {
    if !geteuid().is_root() {
        return with_owner(place, owner, "0660");
    }
    // The binary may lie where the stranger can't go.
    let binary = place.path("logmon");
    copy_of_logmon(&binary);
    for path in [place.root(), &place.path("logs"), &place.path("run")] {
        chown(path, Some(STRANGER), Some(STRANGER)).unwrap();
    }
    let stranger = STRANGER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &stranger, "--regid", &stranger, "--clear-groups"]);
    command.arg(binary);
    place.add_options(&mut command, "2", "1000");
    command.args(["--fifo-owner", owner, "--fifo-mode", "0660"]);
    command
}

/// User, group and permission bits.
fn owner_and_mode(path: &Path) -> (u32, u32, u32) {
    let metadata = fs::metadata(path).unwrap();
    (metadata.uid(), metadata.gid(), metadata.mode() & 0o7777)
}

#[test]
fn a_new_fifo_gets_the_owner_and_the_mode_that_were_asked_for() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can give a FIFO away");
    }
    for (owner, mode, expected) in [
        ("65534:65534", "0620", (STRANGER, STRANGER, 0o620)),
        (":65534", "0660", (0, STRANGER, 0o660)),
        ("65534", "0600", (STRANGER, 0, 0o600)),
        ("root:root", "0600", (0, 0, 0o600)),
    ] {
        let place = Place::new();
        // The second life adopts what the first one made.
        for count in 0..2 {
            let logmon = place.start_command(with_owner(&place, owner, mode));
            assert_eq!(owner_and_mode(&place.path("out")), expected, "{owner}");
            place.write(&lines(count, 1));
            place.wait_for_log(&lines(0, count + 1));
            assert_eq!(logmon.stop().0, Some(0));
        }
    }
}

#[test]
fn a_group_of_its_user_needs_no_privilege() {
    let place = Place::new();
    let group = getegid().as_raw();
    let owner = format!(":{group}");
    let logmon = place.start_command(with_owner(&place, &owner, "0620"));
    let expected = (geteuid().as_raw(), group, 0o620);
    assert_eq!(owner_and_mode(&place.path("out")), expected);
    assert_eq!(logmon.stop().0, Some(0));

    let place = Place::new();
    if geteuid().is_root() {
        let logmon = place.start_command(as_stranger(&place, ":65534"));
        let expected = (STRANGER, STRANGER, 0o660);
        assert_eq!(owner_and_mode(&place.path("out")), expected);
        assert_eq!(logmon.stop().0, Some(0));
    }
}

#[test]
fn an_owner_that_needs_a_privilege_is_refused_with_the_option_and_no_fifo_is_left() {
    for owner in ["0", ":0", "root:root"] {
        let place = Place::new();
        let (code, told) = refusal(as_stranger(&place, owner));
        assert_eq!(code, Some(65), "{told}");
        assert!(told.contains("--fifo-owner"), "{told}");
        assert!(told.contains(place.path("out").to_str().unwrap()), "{told}");
        assert!(!place.path("out").exists(), "a half-made FIFO is left");
    }
}

#[test]
fn an_owner_that_is_nobody_is_refused_by_name_before_anything_is_made() {
    let place = Place::new();
    for owner in ["no-such-user", ":no-such-group", "root:", "a:b:c", ""] {
        let (code, told) = refusal(with_owner(&place, owner, "0600"));
        assert_eq!(code, Some(65), "{told}");
        assert!(told.contains("--fifo-owner"), "{told}");
        assert!(!place.path("out").exists());
    }
}

#[test]
fn a_fifo_of_a_stranger_is_refused_by_name_unless_it_is_the_named_owners() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can make a FIFO of a stranger");
    }
    let place = Place::new();
    let path = place.path("out");
    fifo::create(&path, 0o600).unwrap();
    chown(&path, Some(STRANGER), None).unwrap();
    let (code, told) = refusal(place.command("2", "1000"));
    assert_eq!(code, Some(66), "{told}");
    assert!(told.contains(path.to_str().unwrap()), "{told}");
    assert!(told.contains("user 65534"), "{told}");
    assert_eq!(owner_and_mode(&path), (STRANGER, 0, 0o600));

    let logmon = place.start_command(with_owner(&place, "65534", "0600"));
    place.write(&lines(0, 1));
    place.wait_for_log(&lines(0, 1));
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_fifo_that_everybody_can_read_is_refused_by_name_and_one_with_another_mode_is_adopted() {
    let place = Place::new();
    let path = place.path("out");
    fifo::create(&path, 0o644).unwrap();
    let (code, told) = refusal(place.command("2", "1000"));
    assert_eq!(code, Some(66), "{told}");
    assert!(told.contains(path.to_str().unwrap()), "{told}");
    assert!(told.contains("0644"), "{told}");
    assert_eq!(owner_and_mode(&path).2, 0o644, "it is not ours to change");

    fs::set_permissions(&path, fs::Permissions::from_mode(0o662)).unwrap();
    let logmon = place.start("2", "1000");
    assert_eq!(owner_and_mode(&path).2, 0o662);
    place.write(&lines(0, 1));
    place.wait_for_log(&lines(0, 1));
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_fifo_whose_maker_was_killed_before_it_had_its_owner_gets_it_at_the_next_start() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can give a FIFO away");
    }
    // With bits for others it was not made by a logmon, which says what its mode is.
    for (found, owner, expected) in [
        (0o600, "65534:65534", (STRANGER, STRANGER, 0o620)),
        (0o400, ":65534", (0, STRANGER, 0o620)),
        (0o660, "65534", (STRANGER, 0, 0o660)),
    ] {
        let place = Place::new();
        fifo::create(&place.path("out"), found).unwrap();
        let logmon = place.start_command(with_owner(&place, owner, "0620"));
        assert_eq!(owner_and_mode(&place.path("out")), expected, "{owner}");
        place.write(&lines(0, 1));
        place.wait_for_log(&lines(0, 1));
        assert_eq!(logmon.stop().0, Some(0));
    }
}

#[test]
fn an_own_fifo_that_cannot_be_given_away_is_refused_with_the_option_and_stays() {
    for owner in ["0", ":0"] {
        let place = Place::new();
        let path = place.path("out");
        let command = as_stranger(&place, owner);
        fifo::create(&path, 0o600).unwrap();
        if geteuid().is_root() {
            chown(&path, Some(STRANGER), Some(STRANGER)).unwrap();
        }
        let before = owner_and_mode(&path);
        let (code, told) = refusal(command);
        assert_eq!(code, Some(65), "{told}");
        assert!(told.contains("--fifo-owner"), "{told}");
        assert!(told.contains(path.to_str().unwrap()), "{told}");
        assert_eq!(owner_and_mode(&path), before);
    }
}

#[test]
fn a_fifo_with_another_name_elsewhere_is_not_given_away() {
    if !geteuid().is_root() {
        return eprintln!("skipped: only root can give a FIFO away");
    }
    let place = Place::new();
    fifo::create(&place.path("elsewhere"), 0o600).unwrap();
    fs::hard_link(place.path("elsewhere"), place.path("out")).unwrap();
    let (code, told) = refusal(with_owner(&place, "65534", "0620"));
    assert_eq!(code, Some(65), "{told}");
    assert!(told.contains(place.path("out").to_str().unwrap()), "{told}");
    assert_eq!(owner_and_mode(&place.path("elsewhere")), (0, 0, 0o600));
}
