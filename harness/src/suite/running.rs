//! A look at the cases that are being played, without disturbing them. (edge)
//!
//! Everything comes from the trace of each case, which is written as things happen, and from `/proc`. No
//! pipe is opened, no file of a subject is touched, and nobody is stopped: a case on storage that hangs
//! can be looked at like any other.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};

use mock_driver::journal::{self, Role};
use mock_driver::stream::Stream;

use crate::case::{Case, CaseDir};
use crate::observe::{
    Fill, NamedPipe, ProcessFacts, Snapshot, Stat, descriptors_named, now_us, threads, who_waits,
};
use crate::report::{self, Glimpse};
use crate::suite::machine;
use crate::trace::adapter::AdapterEvent;
use crate::trace::{self, Entry, Event};

/// What the cases that this process plays wait for, a few lines each, in the order of their ids.
#[must_use]
pub fn running_cases() -> String {
    let mut cases: Vec<(String, String)> = machine::case_processes()
        .into_iter()
        .filter_map(|(pid, dir)| look(pid, &CaseDir::new(dir)))
        .collect();
    cases.sort();
    if cases.is_empty() {
        return "no case is being played\n".to_owned();
    }
    let texts: Vec<String> = cases.into_iter().map(|(_, text)| text).collect();
    texts.join("\n")
}

/// A case's id and the text about it; none if it is not there any more.
fn look(pid: i32, dir: &CaseDir) -> Option<(String, String)> {
    let case: Case = serde_json::from_slice(&fs::read(dir.case()).ok()?).ok()?;
    let entries = match fs::read(dir.trace()) {
        // What can't be read yet is left out, as is what is being written.
        Ok(bytes) => trace::parse(&String::from_utf8_lossy(&bytes)).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let text = report::glimpse(&Glimpse {
        id: &case.scenario.id,
        plan: &case.scenario.plan,
        entries: &entries,
        now_us: now_us(),
        waits: waits(pid, dir, &entries),
    });
    Some((case.scenario.id, text))
}

fn waits(case: i32, dir: &CaseDir, entries: &[Entry]) -> Vec<String> {
    let snapshot = Snapshot::take();
    let near: Vec<Stat> = snapshot
        .descendants(case)
        .into_iter()
        .filter(|stat| stat.lives())
        .cloned()
        .collect();
    let titles = titles(case, dir, entries, &near);
    let pids = || near.iter().map(|stat| stat.pid).chain([case]);
    let pipes: Vec<NamedPipe> = Stream::BOTH
        .into_iter()
        .filter(|stream| dir.fifo(*stream).exists())
        .map(|stream| NamedPipe {
            name: format!("{stream}.fifo"),
            fill: last_fill(entries, stream),
            held: descriptors_named(&dir.fifo(stream), pids()),
        })
        .collect();
    let facts = |stat: &Stat| ProcessFacts {
        threads: threads(stat.pid),
        stat: stat.clone(),
    };
    let processes: Vec<ProcessFacts> = near.iter().map(facts).collect();
    who_waits(&processes, &titles, &pipes)
}

/// Whose each process is. One that is not known by itself belongs to whoever started it.
fn titles(case: i32, dir: &CaseDir, entries: &[Entry], near: &[Stat]) -> BTreeMap<i32, String> {
    let mut titles = BTreeMap::from([(case, "host".to_owned())]);
    for entry in entries {
        if let Event::LogmonStarted { pid, .. } = &entry.event {
            titles.insert(*pid, "logmon".into());
        } else if let Event::Adapter(AdapterEvent::RecoverAsked { pid }) = &entry.event {
            titles.insert(*pid, "driver".into());
        } else if let Event::DriverStarted {
            pid, generation, ..
        } = &entry.event
        {
            titles.insert(*pid, "driver".into());
            if let Some(task) = task(dir, *generation) {
                titles.insert(task, "task".into());
            }
        }
    }
    // Parents come before their children.
    for stat in near {
        let of_parent = titles
            .get(&stat.ppid)
            .filter(|_| stat.ppid != case)
            .cloned();
        if let (false, Some(title)) = (titles.contains_key(&stat.pid), of_parent) {
            titles.insert(stat.pid, title);
        }
    }
    titles
}

/// The task's main process, as its journal's beginning tells.
fn task(dir: &CaseDir, generation: u32) -> Option<i32> {
    let journal = fs::File::open(dir.task_journal(generation)).ok()?;
    let mut lines = BufReader::new(journal).lines();
    lines.by_ref().take(FIRST_LINES).find_map(|line| {
        if let journal::Event::Hello {
            pid,
            role: Role::Task,
            ..
        } = journal::parse_line(&line.ok()?).ok()?.event
        {
            i32::try_from(pid).ok()
        } else {
            None
        }
    })
}

/// Among so many lines of a journal its process is named.
const FIRST_LINES: usize = 4;

/// How full a pipe was when that changed much last.
fn last_fill(entries: &[Entry], wanted: Stream) -> Option<Fill> {
    entries.iter().rev().find_map(|entry| {
        if let Event::Pipe {
            stream,
            bytes,
            capacity,
        } = entry.event
        {
            (stream == wanted).then_some(Fill { bytes, capacity })
        } else {
            None
        }
    })
}
