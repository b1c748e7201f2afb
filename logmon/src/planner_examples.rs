//! Core: what the planner plans in single cases, as tests.

use super::{Flush, Planner, RotationStep, Step, Window};
use crate::limits::Limits;
use crate::name::MAX_INDEX;
use crate::recovery::Recovery;

fn limits(max_files: u64, max_file_bytes: u64, line_guard: u64) -> Limits {
    Limits::checked(max_files, max_file_bytes, line_guard).unwrap()
}

#[test]
fn a_folder_with_too_many_files_loses_the_oldest_before_anything_is_written() {
    let recovery = Recovery {
        retained: (4..9).collect(),
        next_index: 9,
        resume: Some(crate::recovery::Resume { index: 8, bytes: 0 }),
        ..Recovery::default()
    };
    let mut planner = Planner::new(limits(2, 10, 10), &recovery, false);
    for index in 4..7 {
        assert_eq!(
            planner.plan(Window::all(b"x\n"), Flush::No),
            Step::Delete(index)
        );
        planner.deleted(index);
    }
    assert_eq!(planner.plan(Window::all(b"x\n"), Flush::No), Step::Write(2));
}

#[test]
fn a_name_that_is_taken_is_skipped() {
    let mut planner = Planner::new(limits(2, 10, 10), &Recovery::default(), false);
    assert_eq!(
        planner.plan(Window::all(b""), Flush::No),
        Step::Rotate(RotationStep::Prepare)
    );
    planner.rotation_begun();
    planner.rotated(RotationStep::Prepare);
    assert_eq!(
        planner.plan(Window::all(b""), Flush::No),
        Step::Rotate(RotationStep::Publish(0))
    );
    planner.name_taken(0);
    assert_eq!(
        planner.plan(Window::all(b""), Flush::No),
        Step::Rotate(RotationStep::Publish(1))
    );
}

#[test]
fn the_highest_index_is_followed_by_none() {
    let recovery = Recovery {
        next_index: MAX_INDEX + 1,
        ..Recovery::default()
    };
    let planner = Planner::new(limits(2, 10, 10), &recovery, false);
    assert_eq!(
        planner.plan(Window::all(b"x"), Flush::No),
        Step::NoIndexLeft
    );
}

#[test]
fn a_file_that_is_over_a_lowered_limit_is_closed_with_the_next_byte() {
    let recovery = Recovery {
        retained: [0].into(),
        next_index: 1,
        resume: Some(crate::recovery::Resume {
            index: 0,
            bytes: 50,
        }),
        ..Recovery::default()
    };
    let planner = Planner::new(limits(2, 10, 10), &recovery, false);
    assert_eq!(planner.plan(Window::all(b""), Flush::No), Step::Idle);
    assert_eq!(
        planner.plan(Window::all(b"x"), Flush::No),
        Step::Rotate(RotationStep::Prepare)
    );
}

#[test]
fn it_looks_only_near_the_limit_and_at_no_more_than_it_needs() {
    let recovery = Recovery {
        retained: [0].into(),
        next_index: 1,
        resume: Some(crate::recovery::Resume { index: 0, bytes: 0 }),
        ..Recovery::default()
    };
    let mut planner = Planner::new(limits(2, 1000, 100), &recovery, false);
    let blind = |bytes| Window { seen: b"", bytes };
    assert_eq!(planner.plan(blind(900), Flush::No), Step::Write(900));
    assert_eq!(planner.plan(blind(5000), Flush::No), Step::Write(900));
    planner.wrote(900, blind(5000));
    assert_eq!(planner.is_mid_line(), None);
    assert_eq!(planner.plan(blind(4100), Flush::No), Step::Look(200));
    assert_eq!(planner.plan(blind(7), Flush::No), Step::Look(7));
}

#[test]
fn an_ending_that_nobody_saw_is_asked_for_when_the_limits_change() {
    let recovery = Recovery {
        retained: [0].into(),
        next_index: 1,
        resume: Some(crate::recovery::Resume { index: 0, bytes: 0 }),
        ..Recovery::default()
    };
    let mut planner = Planner::new(limits(2, 1000, 100), &recovery, false);
    planner.wrote(
        900,
        Window {
            seen: b"",
            bytes: 900,
        },
    );
    planner.set_limits(limits(2, 950, 100));
    let window = Window::all(b"begins here, or goes on?\nnext\n");
    assert_eq!(planner.plan(window, Flush::No), Step::FindEnding);
    planner.found_ending(false);
    assert_eq!(planner.plan(window, Flush::No), Step::Write(30));
    planner.set_limits(limits(2, 900, 100));
    assert_eq!(
        planner.plan(window, Flush::No),
        Step::Rotate(RotationStep::Prepare)
    );
}
