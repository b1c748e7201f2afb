//! Names the damage between expected and observed bytes. (core)

use std::ops::Range;

use mock_driver::record::{self, Header, Item, RunId};
use mock_driver::stream::Stream;

use super::alignment::{GRAM, Gap, Index, common_prefix, common_suffix, gaps};
use super::expectation::{Expectation, Kind};
use super::figures::{merged, subtracted, total};

/// Everything that is wrong with a stream's bytes. Ranges of expected bytes are merged.
#[derive(Clone, Debug, Default)]
pub(super) struct Damage {
    /// Expected bytes that stand nowhere.
    pub(super) lost: Vec<Range<usize>>,
    /// Expected bytes that stand in the wrong place.
    pub(super) moved: Vec<Range<usize>>,
    /// Expected bytes that stand more than once, and where they stand again.
    pub(super) repeated: Vec<(Range<usize>, usize)>,
    /// Observed bytes that belong to the other stream or to another run.
    pub(super) mixed: Vec<Range<usize>>,
    /// Observed bytes that stand for others (an empty range if for none).
    pub(super) altered: Vec<(Range<usize>, Range<usize>)>,
    /// Observed bytes before the first or behind the last expected one.
    pub(super) added: Vec<Range<usize>>,
    /// Units, by their place in the list, of which a piece is missing or elsewhere.
    pub(super) torn: Vec<usize>,
    /// Expected bytes that arrived in their place or elsewhere.
    pub(super) received: Vec<Range<usize>>,
}

/// What the stream is, to tell its own bytes from others'.
pub(super) struct Identity<'a> {
    pub(super) stream: Stream,
    pub(super) run: Option<RunId>,
    /// What the other stream's files must hold.
    pub(super) other: &'a [u8],
}

/// Compares a stream's observed bytes with the expected ones.
pub(super) fn examine(expected: &Expectation, observed: &[u8], identity: &Identity<'_>) -> Damage {
    let starts: Vec<usize> = expected.units.iter().map(|unit| unit.at).collect();
    let index = Index::new(&expected.bytes);
    let mut gaps = gaps(&expected.bytes, observed, &index, &starts);
    for gap in &mut gaps {
        widen(gap, expected, observed, identity, &starts);
    }
    let all = 0..expected.bytes.len();
    let holes = merged(gaps.iter().map(|gap| gap.exp.clone()).collect());
    let in_place = subtracted(std::slice::from_ref(&all), &holes);
    let mut examiner = Examiner {
        expected: &expected.bytes,
        observed,
        identity,
        index,
        other: None,
        in_place,
        searches: 256,
        damage: Damage::default(),
    };
    let mut missing = Vec::new();
    for gap in &gaps {
        examiner.gap(gap, &mut missing);
    }
    let Examiner {
        in_place,
        mut damage,
        ..
    } = examiner;
    damage.moved = subtracted(&merged(std::mem::take(&mut damage.moved)), &in_place);
    damage.lost = subtracted(&merged(missing), &damage.moved);
    damage.received = merged(
        in_place
            .into_iter()
            .chain(damage.moved.iter().cloned())
            .collect(),
    );
    damage.torn = torn(expected, &damage, &starts);
    damage
}

/// A foreign record begins like ours, so the bytes in common look as if they had arrived: the gap
/// is widened to the record's start, and over a newline that ends both.
fn widen(
    gap: &mut Gap,
    expected: &Expectation,
    observed: &[u8],
    identity: &Identity<'_>,
    starts: &[usize],
) {
    if gap.obs.is_empty() {
        return;
    }
    let place = starts.partition_point(|&start| start <= gap.exp.start);
    if let Some(start) = place.checked_sub(1).map(|place| starts[place]) {
        let back = gap.exp.start - start;
        if (1..record::HEADER_LEN).contains(&back)
            && back <= gap.obs.start
            && Header::parse(&observed[gap.obs.start - back..])
                .is_some_and(|header| identity.is_foreign(&header))
        {
            gap.exp.start -= back;
            gap.obs.start -= back;
        }
    }
    let next = starts
        .get(starts.partition_point(|&start| start < gap.exp.end))
        .copied();
    let left = next.unwrap_or(expected.bytes.len()) - gap.exp.end;
    let reach = gap.obs.end + left;
    if !gap.exp.is_empty()
        && (1..=2).contains(&left)
        && reach <= observed.len()
        && observed[gap.obs.end..reach] == expected.bytes[gap.exp.end..gap.exp.end + left]
    {
        gap.exp.end += left;
        gap.obs.end += left;
    }
}

impl Identity<'_> {
    fn is_foreign(&self, header: &Header) -> bool {
        header.id.stream != self.stream || self.run.is_some_and(|run| run != header.id.run)
    }
}

struct Examiner<'a> {
    expected: &'a [u8],
    observed: &'a [u8],
    identity: &'a Identity<'a>,
    index: Index<'a>,
    other: Option<Index<'a>>,
    in_place: Vec<Range<usize>>,
    /// How many more searches by comparing everywhere are worth their time.
    searches: u32,
    damage: Damage,
}

impl<'a> Examiner<'a> {
    fn gap(&mut self, gap: &Gap, missing: &mut Vec<Range<usize>>) {
        if gap.obs.is_empty() {
            missing.push(gap.exp.clone());
            return;
        }
        let mut known = Vec::new();
        for found in self.index.matches(self.observed, gap.obs.clone()) {
            known.push(found.obs..found.obs + found.len);
            self.again(found.exp..found.exp + found.len, found.obs);
        }
        let mut unknown = Vec::new();
        for piece in subtracted(std::slice::from_ref(&gap.obs), &known) {
            self.foreign(piece, gap, &mut unknown);
        }
        let strange = total(&unknown);
        let lost_here = gap.exp.len();
        if lost_here > 0 && strange > 0 && strange * 4 >= lost_here {
            let span = unknown[0].start..unknown[unknown.len() - 1].end;
            self.damage.altered.push((gap.exp.clone(), span));
            return;
        }
        if lost_here > 0 {
            missing.push(gap.exp.clone());
        }
        for piece in unknown {
            let at_start = piece.start == 0 && gap.exp.start == 0;
            let at_end = piece.end == self.observed.len() && gap.exp.end == self.expected.len();
            if at_start || at_end {
                self.damage.added.push(piece);
            } else {
                self.damage.altered.push((gap.exp.end..gap.exp.end, piece));
            }
        }
    }

    /// Expected bytes found outside the chain: once more, or elsewhere.
    fn again(&mut self, exp: Range<usize>, obs: usize) {
        let elsewhere = subtracted(std::slice::from_ref(&exp), &self.in_place);
        if total(&elsewhere) * 2 > exp.len() {
            self.damage.moved.extend(elsewhere);
        } else {
            self.damage.repeated.push((exp, obs));
        }
    }

    /// Bytes that are nowhere among the anchors: of the other stream, a short repetition, or
    /// something that the task did not write.
    fn foreign(&mut self, piece: Range<usize>, gap: &Gap, unknown: &mut Vec<Range<usize>>) {
        let bytes = &self.observed[piece.clone()];
        let mut mixed = Vec::new();
        for item in record::scan(bytes) {
            if let Item::Record { header, at, len }
            | Item::Torn {
                header: Some(header),
                at,
                len,
            } = item
                && self.identity.is_foreign(&header)
            {
                mixed.push(piece.start + at..piece.start + at + len);
            }
        }
        if mixed.is_empty() && bytes.len() >= GRAM {
            let other = self
                .other
                .get_or_insert_with(|| Index::new(self.identity.other));
            let found = other.matches(self.observed, piece.clone());
            mixed.extend(found.into_iter().map(|one| one.obs..one.obs + one.len));
        }
        let mixed = merged(mixed);
        if !mixed.is_empty() {
            unknown.extend(subtracted(std::slice::from_ref(&piece), &mixed));
            self.damage.mixed.extend(mixed);
            return;
        }
        // Just written once more? What stands twice may begin anywhere between its own beginning and that of
        // the second: a gap is put where a unit begins.
        let len = bytes.len();
        let (before, behind) = self.expected.split_at(gap.exp.start);
        let is_all = piece == gap.obs;
        let ahead = if is_all {
            common_prefix(behind, bytes)
        } else {
            0
        };
        // A single newline is rather an added line end than a repetition.
        if gap.exp.is_empty() && len > 1 && ahead + common_suffix(before, bytes) >= len {
            let start = gap.exp.start + ahead - len;
            self.damage.repeated.push((start..start + len, piece.start));
            return;
        }
        if (6..=4096).contains(&len) && self.searches > 0 {
            self.searches -= 1;
            if let Some(at) = find(self.expected, bytes) {
                self.again(at..at + len, piece.start);
                return;
            }
            if find(self.identity.other, bytes).is_some() {
                self.damage.mixed.push(piece);
                return;
            }
        }
        unknown.push(piece);
    }
}

/// Where `needle` first stands in `hay`.
fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = 0;
    while let Some(step) = hay.get(at..)?.iter().position(|&byte| byte == first) {
        at += step;
        if common_prefix(&hay[at..], needle) == needle.len() {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Records of which a piece is lost though both their ends are here, or of which a piece stands
/// elsewhere. A record cut by a long loss, or at either end of the stream, is none of these.
fn torn(expected: &Expectation, damage: &Damage, starts: &[usize]) -> Vec<usize> {
    let end = expected.bytes.len();
    let unit_of = |at: usize| starts.partition_point(|&start| start <= at).checked_sub(1);
    let extent = |unit: usize| starts[unit]..starts.get(unit + 1).copied().unwrap_or(end);
    let mut torn = Vec::new();
    for piece in &damage.lost {
        let Some(unit) = unit_of(piece.start) else {
            continue;
        };
        let whole = extent(unit);
        if piece.end <= whole.end && *piece != whole && piece.end < end && piece.start > 0 {
            torn.push(unit);
        }
    }
    for piece in &damage.moved {
        for at in [piece.start, piece.end] {
            if let Some(unit) = unit_of(at).filter(|_| at < end)
                && extent(unit).start != at
            {
                torn.push(unit);
            }
        }
    }
    torn.retain(|&unit| matches!(expected.units[unit].kind, Kind::Record { .. }));
    torn.sort_unstable();
    torn.dedup();
    torn
}
