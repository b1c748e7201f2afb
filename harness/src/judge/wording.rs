//! Says where in a stream something is: records by number, other bytes by offset. (core)

use std::collections::BTreeSet;
use std::ops::Range;

use super::expectation::{Expectation, Kind};
use super::figures::{count, few, merged, number, pieces, total};
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
        units = merged(units);
        format!("{} {what} ({bytes})", count(total(&units), "record"))
    }

    /// What stands more than once: `62 records repeated (61,440 bytes), in 2 pieces,`.
    pub(super) fn repetition(&self, ranges: &[Range<usize>]) -> String {
        let once = merged(ranges.to_vec());
        let amount = self.amount(&once, "repeated");
        let times = pieces(ranges.len());
        let all = total(ranges);
        if all == total(&once) {
            format!("{amount}, {times},")
        } else {
            format!(
                "{amount}, some again and again: {}, {times},",
                count(all, "byte")
            )
        }
    }

    /// Whether anything of it is records, which know their length.
    pub(super) fn has_records(&self) -> bool {
        let mut units = self.expectation.units.iter();
        units.any(|unit| matches!(unit.kind, Kind::Record { .. }))
    }

    /// Records that one of the ranges begins or ends in, by their place in the list.
    fn cut_units(&self, ranges: &[Range<usize>]) -> BTreeSet<usize> {
        let ends = ranges.iter().flat_map(|range| [range.start, range.end]);
        ends.filter_map(|at| self.cut_unit(at)).collect()
    }

    /// The record that begins before this place and ends behind it.
    fn cut_unit(&self, at: usize) -> Option<usize> {
        let units = &self.expectation.units;
        let unit = units.partition_point(|unit| unit.at <= at).checked_sub(1)?;
        let is_within = units[unit].at != at && at < self.expectation.bytes.len();
        (is_within && matches!(units[unit].kind, Kind::Record { .. })).then_some(unit)
    }

    /// Whether a range begins or ends within a record.
    pub(super) fn is_cut(&self, range: &Range<usize>) -> bool {
        [range.start, range.end]
            .iter()
            .any(|&at| self.cut_unit(at).is_some())
    }

    /// `1 record cut where the loss begins or ends`, if one is.
    pub(super) fn cut(&self, ranges: &[Range<usize>], what: &str) -> Option<String> {
        let cut = self.cut_units(ranges).len();
        (cut > 0).then(|| format!("{} cut where {what} begins or ends", count(cut, "record")))
    }

    /// A range, and whether its records are whole: `200…839`, `a part of 1046`.
    pub(super) fn piece(&self, range: &Range<usize>) -> String {
        let [first, last] = [range.start, range.end].map(|at| self.cut_unit(at).is_some());
        let name = self.range(range);
        match (first, last, self.touched(range).len()) {
            (false, false, _) => name,
            (_, _, 1) => format!("a part of {name}"),
            (true, false, _) => format!("{name} (the first in part)"),
            (false, true, _) => format!("{name} (the last in part)"),
            (true, true, _) => format!("{name} (the first and the last in part)"),
        }
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
