//! Says where in a stream something is: records by number, other bytes by offset. (core)

use std::ops::Range;

use super::expectation::{Expectation, Kind};
use super::figures::{count, few, number, total};
use crate::history::LogFile;

/// Ranges named in one line before the rest is only counted.
const MOST: usize = 6;

/// Names the places of a stream.
pub(super) struct Places<'a> {
    expectation: &'a Expectation,
    /// Whether more than one generation wrote.
    many: bool,
}

impl<'a> Places<'a> {
    pub(super) fn new(expectation: &'a Expectation) -> Self {
        let units = &expectation.units;
        let many =
            units.first().map(|unit| unit.generation) != units.last().map(|unit| unit.generation);
        Self { expectation, many }
    }

    /// The units that the range touches.
    fn touched(&self, range: &Range<usize>) -> Range<usize> {
        let units = &self.expectation.units;
        let first = units
            .partition_point(|unit| unit.at <= range.start)
            .saturating_sub(1);
        first..units.partition_point(|unit| unit.at < range.end).max(first)
    }

    fn is_records(&self, range: &Range<usize>) -> bool {
        let units = &self.expectation.units[self.touched(range)];
        !units.is_empty()
            && units
                .iter()
                .all(|unit| matches!(unit.kind, Kind::Record { .. }))
    }

    /// `640 records lost (64,000 bytes)`, `1,234 bytes lost`.
    pub(super) fn amount(&self, ranges: &[Range<usize>], what: &str) -> String {
        let bytes = count(total(ranges), "byte");
        if ranges.is_empty() || !ranges.iter().all(|range| self.is_records(range)) {
            return format!("{bytes} {what}");
        }
        let mut units: Vec<Range<usize>> = ranges.iter().map(|range| self.touched(range)).collect();
        units = super::figures::merged(units);
        format!("{} {what} ({bytes})", count(total(&units), "record"))
    }

    /// A range: `200…839`, `generation 3: 0…9`, `bytes 20,000…83,999`.
    pub(super) fn range(&self, range: &Range<usize>) -> String {
        if !self.is_records(range) {
            return format!(
                "bytes {}…{}",
                number(range.start as u64),
                number(range.end.saturating_sub(1) as u64)
            );
        }
        let touched = self.touched(range);
        let (first, last) = (touched.start, touched.end - 1);
        let generation = |unit: usize| self.expectation.units[unit].generation;
        if !self.many {
            return if first == last {
                self.seq(first)
            } else {
                format!("{}…{}", self.seq(first), self.seq(last))
            };
        }
        if generation(first) == generation(last) {
            let end = if first == last {
                String::new()
            } else {
                format!("…{}", self.seq(last))
            };
            return format!(
                "generation {}: {}{end}",
                number(u64::from(generation(first))),
                self.seq(first)
            );
        }
        format!(
            "generation {}: {}… to generation {}: …{}",
            number(u64::from(generation(first))),
            self.seq(first),
            number(u64::from(generation(last))),
            self.seq(last)
        )
    }

    fn seq(&self, unit: usize) -> String {
        match self.expectation.units[unit].kind {
            Kind::Record { seq } => seq.to_string(),
            Kind::Planted | Kind::Plain => "?".to_owned(),
        }
    }

    /// The first few ranges.
    pub(super) fn ranges(&self, ranges: &[Range<usize>]) -> String {
        if ranges.is_empty() {
            return "nothing".to_owned();
        }
        let named: Vec<String> = ranges
            .iter()
            .take(MOST)
            .map(|range| self.range(range))
            .collect();
        let text = few(&named, MOST);
        if ranges.len() > MOST {
            format!("{text}, … ({} more)", number((ranges.len() - MOST) as u64))
        } else {
            text
        }
    }
}

/// Where an offset of the joined files is: `demo.stdout.0 at byte 20,000`.
pub(super) fn file_place(files: &[LogFile], mut offset: usize) -> String {
    let mut last = "no file".to_owned();
    for file in files {
        if offset < file.bytes.len()
            || (offset == file.bytes.len() && std::ptr::eq(file, &files[files.len() - 1]))
        {
            return format!("{} at byte {}", file.name, number(offset as u64));
        }
        offset -= file.bytes.len();
        last = format!("behind the end of {}", file.name);
    }
    last
}
