//! Edge: lines and files: exact limits, whole lines, and prompts that are seen (contract DATA-1, DATA-4,
//! DATA-5, ROT-1, ROT-2, ROT-3, ROT-7).

use std::time::{Duration, Instant};

use crate::support::{Place, lines, wait_until, write_all};

#[test]
fn files_are_full_to_the_last_line_that_fits() {
    let place = Place::new();
    let logmon = place.start("100", "1050");
    place.write(&lines(0, 95));
    place.wait_for_log(&lines(0, 95));
    let lengths: Vec<usize> = place.files().iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(
        lengths,
        [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 500]
    );
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn a_line_in_pieces_is_never_split() {
    let place = Place::new();
    let logmon = place.start("100", "5000");
    let writer = place.writer();
    let line = |number: usize| [format!("{number:01999}").into_bytes(), b"\n".to_vec()].concat();
    for number in 0..10 {
        for piece in line(number).chunks(50) {
            write_all(&writer, piece);
        }
    }
    let expected: Vec<u8> = (0..10).flat_map(line).collect();
    place.wait_for_log(&expected);
    let lengths: Vec<usize> = place.files().iter().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [4000; 5]);
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn lines_of_any_length_and_any_bytes_arrive_as_they_were_written() {
    let place = Place::new();
    let logmon = place.start("1000", "300000");
    let mut expected = Vec::new();
    let mut seed = 1u32;
    for length in [
        1, 2, 100, 4096, 4097, 32_768, 32_769, 65_536, 100_000, 1_048_576, 1, 7,
    ] {
        for _ in 1..length {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (seed >> 24) as u8;
            expected.push(if byte == b'\n' { 0 } else { byte });
        }
        expected.push(b'\n');
    }
    expected.extend(b"\0\r no newline at the end");
    place.write(&expected);
    place.wait_for_log(&expected);
    assert_eq!(logmon.stop().0, Some(0));
    let files = place.files();
    assert!(files.iter().all(|(_, bytes)| bytes.len() <= 300_000));
    // Every file but the last ends with a line, or in the middle of the one that is longer than the guard.
    assert!(
        files[..files.len() - 1]
            .iter()
            .all(|(_, bytes)| bytes.len() > 300_000 - 32_768)
    );
}

#[test]
fn a_prompt_is_visible_within_200_ms_and_so_is_one_that_had_to_wait_for_the_next_file() {
    let place = Place::new();
    let logmon = place.start("1000", "1000");
    let writer = place.writer();
    // The best of several, as the machine may be busy with something else.
    let mut best = [Duration::MAX; 2];
    for _ in 0..5 {
        for (best, filled) in best.iter_mut().zip([0, 9]) {
            let before = place.log().len();
            write_all(&writer, &lines(0, filled));
            wait_until("the lines are there", || {
                place.log().len() == before + filled * 100
            });
            let begun = Instant::now();
            write_all(&writer, b"prompt> ");
            wait_until("the prompt is there", || place.log().ends_with(b"prompt> "));
            *best = (*best).min(begun.elapsed());
            write_all(&writer, b"yes\n");
            wait_until("the answer is there", || {
                place.log().ends_with(b"prompt> yes\n")
            });
        }
    }
    assert!(
        best.iter().all(|best| *best < Duration::from_millis(200)),
        "{best:?}"
    );
    for (_, bytes) in place.files() {
        assert!(
            bytes.is_empty() || bytes.ends_with(b"\n"),
            "a line is split"
        );
    }
    assert_eq!(logmon.stop().0, Some(0));
}

#[test]
fn there_are_never_more_files_than_allowed_and_no_deleted_file_stays_open() {
    for max_files in [1, 3] {
        let place = Place::new();
        let logmon = place.start(&max_files.to_string(), "1000");
        let writer = place.writer();
        for round in 0..200 {
            write_all(&writer, &lines(round * 5, 5));
            assert!(place.files().len() <= max_files);
        }
        wait_until("the last line is there", || {
            place.log().ends_with(&lines(999, 1))
        });
        let mut descriptors = logmon.descriptors();
        descriptors.retain(|path| path.starts_with(place.path("logs")));
        descriptors.sort();
        // The folder and the current file; a deleted one is shown by another name.
        assert_eq!(
            descriptors,
            [place.path("logs"), place.log_file("demo.stdout.99")]
        );
        assert_eq!(logmon.stop().0, Some(0));
    }
}
