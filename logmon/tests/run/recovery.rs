//! Edge: lives and generations: restarts against a folder and FIFOs that exist (contract MON-2, MON-10,
//! MON-11, ROT-3, ROT-5, SEC-2).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use fifo::Reader;

use crate::subject::{is_link_to, refusal};
use crate::support::{Place, lines, wait_until, write_all};

#[test]
fn a_log_folder_that_everybody_can_change_is_told_and_used() {
    for (mode, is_told) in [
        (0o777, true),
        (0o702, true),
        (0o1777, false),
        (0o775, false),
    ] {
        let place = Place::new();
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(place.path("logs"), permissions).unwrap();
        let logmon = place.start("2", "1000");
        place.write(&lines(0, 1));
        place.wait_for_log(&lines(0, 1));
        assert_eq!(logmon.stop().0, Some(0));
        let told = place.diagnostics();
        assert_eq!(told.contains("chmod o-w"), is_told, "{mode:o}: {told}");
    }
}

#[test]
fn a_new_writer_is_read_after_the_end_of_the_last_one() {
    let place = Place::new();
    let logmon = place.start("5", "1MiB");
    let mut expected = Vec::new();
    for generation in 0..20 {
        place.write(&lines(generation, 3));
        expected.extend(lines(generation, 3));
        place.wait_for_log(&expected);
    }
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn after_kill_9_the_next_life_goes_on_in_the_same_file() {
    let place = Place::new();
    let mut expected = Vec::new();
    for life in 0..6 {
        let logmon = place.start("100", "1000");
        let writer = place.writer();
        write_all(&writer, &lines(life * 7, 7));
        expected.extend(lines(life * 7, 7));
        place.wait_for_log(&expected);
        logmon.kill();
    }
    let files = place.files();
    let shape: Vec<(u64, usize)> = files
        .iter()
        .map(|(index, bytes)| (*index, bytes.len()))
        .collect();
    assert_eq!(
        shape,
        [(0, 1000), (1, 1000), (2, 1000), (3, 1000), (4, 200)]
    );
}

#[test]
fn after_kill_9_in_the_middle_of_a_line_the_line_goes_on() {
    let place = Place::new();
    let writer_of = |bytes: &[u8], logged: &[u8]| {
        let logmon = place.start("100", "100000");
        let writer = place.writer();
        write_all(&writer, bytes);
        place.wait_for_log(logged);
        logmon.kill();
    };
    writer_of(b"first ha", b"first ha");
    writer_of(b"lf\n", b"first half\n");
}

#[test]
fn what_waits_in_an_existing_fifo_is_collected() {
    let place = Place::new();
    fifo::create(&place.path("out"), 0o600).unwrap();
    let spare = Reader::open(place.path("out")).unwrap();
    place.write(&lines(0, 10));
    let logmon = place.start("5", "1MiB");
    place.wait_for_log(&lines(0, 10));
    drop(spare);
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_second_logmon_on_the_same_fifo_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let logmon = place.start("5", "1MiB");
    let (code, told) = refusal(place.command("5", "1MiB"));
    assert_eq!(code, Some(75));
    assert!(told.contains(place.path("out").to_str().unwrap()), "{told}");
    assert!(told.contains("stop it first"), "{told}");
    place.write(&lines(0, 3));
    place.wait_for_log(&lines(0, 3));
    assert_eq!(logmon.stop().0, Some(0));
    assert_eq!(place.start("5", "1MiB").stop().0, Some(0));
}

#[test]
fn a_second_logmon_on_the_same_files_is_refused_after_rotations_too() {
    let place = Place::new();
    let logmon = place.start("5", "1000");
    let mut command = place.command("5", "1000");
    command
        .arg("--stderr")
        .arg(format!("{}=demo.stdout", place.path("other").display()));
    assert_eq!(refusal(command).0, Some(65));
    for count in [1, 25] {
        place.write(&lines(0, count));
        wait_until("the lines are there", || {
            place.log().ends_with(&lines(count - 1, 1))
        });
        let other = Place::new();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_logmon"));
        command
            .args([
                "run",
                "--max-files",
                "5",
                "--max-file-size",
                "1000",
                "--log-dir",
            ])
            .arg(place.path("logs"));
        command
            .arg("--stdout")
            .arg(format!("{}=demo.stdout", other.path("out").display()));
        let (code, told) = refusal(command);
        assert_eq!(code, Some(75), "{told}");
        assert!(told.contains("demo.stdout."), "{told}");
    }
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn retention_holds_as_soon_as_the_start_returned() {
    let place = Place::new();
    for index in 3..13 {
        fs::write(
            place.log_file(&format!("demo.stdout.{index}")),
            lines(index, 1),
        )
        .unwrap();
    }
    let logmon = place.start("2", "1MiB");
    let indices: Vec<u64> = place.files().iter().map(|(index, _)| *index).collect();
    assert_eq!(indices, [11, 12]);
    place.write(&lines(99, 1));
    place.wait_for_log(&[lines(11, 1), lines(12, 1), lines(99, 1)].concat());
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn hostile_names_change_nothing_and_stay() {
    let place = Place::new();
    let victim = place.path("victim");
    fs::write(&victim, "untouched").unwrap();
    let foreign = [
        "demo.stdout.9223372036854775807",
        "demo.stdout.18446744073709551615",
        "demo.stdout.99999999999999999999",
        "demo.stdout.4294967295",
        "demo.stdout.-1",
        "demo.stdout.+1",
        "demo.stdout.007",
        "demo.stdout.1.stdout",
        "demo.stdout.1.gz",
        "demo.stdout.",
        "demo.stdout",
        "demo.stdout2.0",
        "demo.0",
    ];
    for name in foreign {
        fs::write(place.log_file(name), name).unwrap();
    }
    fs::write(place.log_file("demo.stdout.0"), lines(0, 1)).unwrap();
    symlink(&victim, place.log_file("demo.stdout.1")).unwrap();
    fs::create_dir(place.log_file("demo.stdout.2")).unwrap();
    fifo::create(&place.log_file("demo.stdout.3"), 0o600).unwrap();
    symlink("nowhere", place.log_file("demo.stdout.4")).unwrap();

    let logmon = place.start("2", "1000");
    place.write(&lines(1, 29));
    wait_until("the last line is there", || {
        fs::read(place.log_file("demo.stdout.6")).is_ok_and(|bytes| bytes == lines(20, 10))
    });
    assert_eq!(logmon.stop().0, Some(0));
    assert_eq!(
        fs::read(place.log_file("demo.stdout.5")).unwrap(),
        lines(10, 10)
    );
    assert!(
        !place.log_file("demo.stdout.0").exists(),
        "retention deletes our oldest file"
    );
    for name in foreign {
        assert_eq!(fs::read_to_string(place.log_file(name)).unwrap(), name);
    }
    assert!(is_link_to(&place.log_file("demo.stdout.1"), &victim));
    assert!(place.log_file("demo.stdout.2").is_dir());
    assert!(fs::symlink_metadata(place.log_file("demo.stdout.4")).is_ok());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert!(!place.log_file("nowhere").exists());
}

#[test]
fn a_hard_link_is_neither_written_nor_deleted() {
    let place = Place::new();
    let victim = place.path("victim");
    fs::write(&victim, "untouched").unwrap();
    fs::hard_link(&victim, place.log_file("demo.stdout.7")).unwrap();
    let logmon = place.start("1", "1000");
    place.write(&lines(0, 1));
    wait_until("the line is above the link", || {
        fs::read(place.log_file("demo.stdout.8")).is_ok_and(|bytes| bytes == lines(0, 1))
    });
    assert_eq!(logmon.stop().0, Some(0));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert_eq!(fs::metadata(&victim).unwrap().nlink(), 2);
}

#[test]
fn new_fifos_and_files_are_not_for_everybody() {
    let place = Place::new();
    let logmon = place.start("2", "1000");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.path("out")), 0o600);
    assert_eq!(mode(place.log_file("demo.stdout.0")) & !0o640, 0);
    assert_eq!(logmon.stop().0, Some(0));
}
