//! Edge: runs two collectors in turn: A B, B A, A B, …

use std::path::Path;

use anyhow::Result;

use crate::collector::Collector;
use crate::machine;
use crate::report::Comparison;
use crate::trial::{self, Programs};
use crate::work::Work;

/// What to compare, on what, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan<'a> {
    pub(crate) works: &'a [Work],
    pub(crate) places: &'a [std::path::PathBuf],
    pub(crate) pairs: u32,
    /// 1.0 is the full size: 1 GB of short lines one by one, and 4 GB of everything else.
    pub(crate) scale: f64,
}

/// Bytes of one run of a work at full size.
fn full_bytes(work: Work) -> f64 {
    if work == Work::lines(100) { 1e9 } else { 4e9 }
}

/// Runs all comparisons: each collector beside the base, and logmon beside the limit.
pub(crate) fn compare(
    plan: Plan<'_>,
    collectors: &[Collector],
    programs: &Programs,
) -> Result<Vec<Comparison>> {
    let mut couples: Vec<_> = collectors
        .iter()
        .filter(|other| **other != Collector::ReadWrite)
        .map(|other| (Collector::ReadWrite, *other))
        .collect();
    if collectors.contains(&Collector::Logmon) && collectors.contains(&Collector::StagedSplice) {
        couples.push((Collector::StagedSplice, Collector::Logmon));
    }
    let mut comparisons = Vec::new();
    for place in plan.places {
        for work in plan.works {
            for (base, other) in &couples {
                match one(plan, *base, *other, *work, place, programs) {
                    Ok(comparison) => comparisons.push(comparison),
                    // What a peer makes of a work is the peer's affair, and the others are still of
                    // interest. It has no figures, because its log is not right.
                    Err(error) if Collector::PEERS.contains(other) => {
                        println!("no figures of {other} on {work}: {error:#}");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(comparisons)
}

fn one(
    plan: Plan<'_>,
    base: Collector,
    other: Collector,
    work: Work,
    place: &Path,
    programs: &Programs,
) -> Result<Comparison> {
    let bytes = (full_bytes(work) * plan.scale) as u64;
    let mut comparison = Comparison {
        place: machine::kind_of_place(place),
        work,
        base,
        other,
        pairs: Vec::new(),
    };
    let run = |collector| trial::run(collector, work, bytes, place, programs);
    for number in 0..plan.pairs {
        let pair = if number % 2 == 0 {
            let first = run(base)?;
            (first, run(other)?)
        } else {
            let first = run(other)?;
            (run(base)?, first)
        };
        comparison.pairs.push(pair);
    }
    eprintln!("{}", comparison.progress());
    Ok(comparison)
}
