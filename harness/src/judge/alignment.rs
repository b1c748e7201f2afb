//! Finds what of the expected bytes stands where in the observed ones. (core)
//!
//! Works on any bytes, records or not. Windows of [`GRAM`] bytes that occur once in the expected
//! bytes are anchors: they are looked up at every position of the observed bytes and grown to both
//! sides, as rsync does it. The heaviest chain of matches that is in order on both sides is what
//! arrived as it was sent; the rest are gaps, which [`super::damage`] names. Near-linear.

use std::ops::Range;

/// Bytes of an anchor: more than what the headers of two records have in common.
pub(super) const GRAM: usize = 32;

/// The factor of the rolling hash; any odd number with mixed bits serves.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Equal bytes on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// Offset in the expected bytes.
    pub(super) exp: usize,
    /// Offset in the observed bytes.
    pub(super) obs: usize,
    /// Bytes.
    pub(super) len: usize,
}

/// What lies between two neighbours of the chain; one side may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// In the expected bytes.
    pub(super) exp: Range<usize>,
    /// In the observed bytes.
    pub(super) obs: Range<usize>,
}

/// The anchors of some expected bytes.
pub(super) struct Index<'a> {
    text: &'a [u8],
    /// Hash and offset of windows that occur once, by hash.
    places: Vec<(u64, usize)>,
    /// One bit for each hash that occurs, to spare most searches.
    bits: Vec<u64>,
}

impl<'a> Index<'a> {
    /// Takes the anchors of `text`.
    pub(super) fn new(text: &'a [u8]) -> Self {
        let step = if text.len() < 8 << 20 { GRAM / 2 } else { GRAM };
        let windows = (0..text.len().saturating_sub(GRAM - 1)).step_by(step);
        let mut places: Vec<_> = windows.map(|at| (hash(&text[at..at + GRAM]), at)).collect();
        places.sort_unstable();
        let mut words = 1024;
        while words * 8 < places.len() {
            words *= 2;
        }
        let mut bits = vec![0_u64; words];
        // A window that occurs twice says nothing about its place.
        let mut unique = Vec::with_capacity(places.len());
        for (index, &(hash, at)) in places.iter().enumerate() {
            let again =
                |other: Option<&(u64, usize)>| other.is_some_and(|&(other, _)| other == hash);
            let before = index.checked_sub(1).and_then(|index| places.get(index));
            if !again(before) && !again(places.get(index + 1)) {
                let (word, bit) = bit_of(hash, words);
                bits[word] |= bit;
                unique.push((hash, at));
            }
        }
        Self {
            text,
            places: unique,
            bits,
        }
    }

    /// The matches within `range` of `observed`, in its order, without overlap there.
    pub(super) fn matches(&self, observed: &[u8], range: Range<usize>) -> Vec<Match> {
        let mut found = Vec::new();
        let mut top = 1_u64;
        for _ in 1..GRAM {
            top = top.wrapping_mul(FACTOR);
        }
        let (mut at, mut low) = (range.start, range.start);
        let mut rolling = None;
        while at + GRAM <= range.end {
            let sum = match rolling {
                Some(sum) => sum,
                None => hash(&observed[at..at + GRAM]),
            };
            if let Some(exp) = self.place(sum, &observed[at..at + GRAM]) {
                let back = common_suffix(&self.text[..exp], &observed[low..at]);
                let ahead = common_prefix(&self.text[exp..], &observed[at..range.end]);
                found.push(Match {
                    exp: exp - back,
                    obs: at - back,
                    len: back + ahead,
                });
                at += ahead;
                low = at;
                rolling = None;
                continue;
            }
            rolling = observed.get(at + GRAM).map(|&next| {
                sum.wrapping_sub(u64::from(observed[at]).wrapping_add(1).wrapping_mul(top))
                    .wrapping_mul(FACTOR)
                    .wrapping_add(u64::from(next) + 1)
            });
            at += 1;
        }
        found
    }

    fn place(&self, hash: u64, window: &[u8]) -> Option<usize> {
        let (word, bit) = bit_of(hash, self.bits.len());
        if self.bits[word] & bit == 0 {
            return None;
        }
        let index = self
            .places
            .binary_search_by_key(&hash, |&(hash, _)| hash)
            .ok()?;
        let at = self.places[index].1;
        (self.text[at..at + GRAM] == *window).then_some(at)
    }
}

fn hash(window: &[u8]) -> u64 {
    window.iter().fold(0_u64, |sum, &byte| {
        sum.wrapping_mul(FACTOR).wrapping_add(u64::from(byte) + 1)
    })
}

fn bit_of(hash: u64, words: usize) -> (usize, u64) {
    let mixed = (hash ^ (hash >> 29)).wrapping_mul(FACTOR) >> 20;
    ((mixed >> 6) as usize & (words - 1), 1 << (mixed & 63))
}

/// Bytes that are equal at the start.
pub(super) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STRIDE: usize = 256;
    let most = a.len().min(b.len());
    let mut at = 0;
    while at + STRIDE <= most && a[at..at + STRIDE] == b[at..at + STRIDE] {
        at += STRIDE;
    }
    while at < most && a[at] == b[at] {
        at += 1;
    }
    at
}

/// Bytes that are equal at the end.
pub(super) fn common_suffix(a: &[u8], b: &[u8]) -> usize {
    const STRIDE: usize = 256;
    let most = a.len().min(b.len());
    let (a, b) = (&a[a.len() - most..], &b[b.len() - most..]);
    let mut at = most;
    while at >= STRIDE && a[at - STRIDE..at] == b[at - STRIDE..at] {
        at -= STRIDE;
    }
    while at > 0 && a[at - 1] == b[at - 1] {
        at -= 1;
    }
    most - at
}

/// The gaps between the two sides. `starts` are the offsets at which the expected bytes' units
/// start, ascending; where a gap could as well lie a few bytes off, it is put at such a start.
pub(super) fn gaps(
    expected: &[u8],
    observed: &[u8],
    index: &Index<'_>,
    starts: &[usize],
) -> Vec<Gap> {
    let head = common_prefix(expected, observed);
    let tail = common_suffix(&expected[head..], &observed[head..]);
    let (exp_end, obs_end) = (expected.len() - tail, observed.len() - tail);
    let mut found = Vec::new();
    // Nothing on one side, or too few bytes in the place of as many to tell where else they may be from.
    let is_simple =
        head == exp_end || head == obs_end || (exp_end == obs_end && exp_end - head < GRAM);
    let counts = |at: usize, len: usize| {
        len >= GRAM || is_simple || holds_unit(starts, at, len, expected.len())
    };
    if head > 0 && counts(0, head) {
        found.push(Match {
            exp: 0,
            obs: 0,
            len: head,
        });
    }
    let has_tail = tail > 0 && counts(exp_end, tail);
    if !is_simple {
        let from = found.last().map_or(0, |first| first.obs + first.len);
        let to = if has_tail { obs_end } else { observed.len() };
        found.extend(index.matches(observed, from..to));
    }
    if has_tail {
        found.push(Match {
            exp: exp_end,
            obs: obs_end,
            len: tail,
        });
    }
    let mut chain = heaviest_chain(&found);
    slide(&mut chain, expected, observed, starts);
    between(&chain, expected.len(), observed.len())
}

/// Whether a whole unit lies in these bytes.
fn holds_unit(starts: &[usize], at: usize, len: usize, all: usize) -> bool {
    let first = starts.partition_point(|&start| start < at);
    first < starts.len() && starts.get(first + 1).copied().unwrap_or(all) <= at + len
}

/// The chain of matches with most bytes whose order is the same on both sides; overlaps on the
/// expected side are cut off.
fn heaviest_chain(found: &[Match]) -> Vec<Match> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_unstable_by_key(|&index| found[index].exp);
    let mut rank = vec![0; found.len()];
    for (place, &index) in order.iter().enumerate() {
        // Equal starts share a rank, so that neither can follow the other.
        let same = place > 0 && found[order[place - 1]].exp == found[index].exp;
        rank[index] = if same {
            rank[order[place - 1]]
        } else {
            place + 1
        };
    }
    // A Fenwick tree of the heaviest chain that ends at or before a rank: weight and last match.
    let mut tree = vec![(0_usize, usize::MAX); found.len() + 1];
    let mut before = vec![usize::MAX; found.len()];
    for (index, one) in found.iter().enumerate() {
        let mut best = (0, usize::MAX);
        let mut node = rank[index] - 1;
        while node > 0 {
            if tree[node].0 > best.0 {
                best = tree[node];
            }
            node &= node - 1;
        }
        before[index] = best.1;
        let weight = (best.0 + one.len, index);
        let mut node = rank[index];
        while node < tree.len() {
            if weight.0 > tree[node].0 {
                tree[node] = weight;
            }
            node += node & node.wrapping_neg();
        }
    }
    let mut last = tree
        .iter()
        .copied()
        .max_by_key(|&(weight, _)| weight)
        .map_or(usize::MAX, |(_, last)| last);
    let mut chain = Vec::new();
    while let Some(&one) = found.get(last) {
        chain.push(one);
        last = before[last];
    }
    chain.reverse();
    let mut end = 0;
    for one in &mut chain {
        let cut = end.max(one.exp) - one.exp;
        let cut = cut.min(one.len);
        one.exp += cut;
        one.obs += cut;
        one.len -= cut;
        end = end.max(one.exp + one.len);
    }
    chain.retain(|one| one.len > 0);
    chain
}

/// Moves each gap with one empty side to a unit's or a line's start, where the bytes allow it.
fn slide(chain: &mut [Match], expected: &[u8], observed: &[u8], starts: &[usize]) {
    for index in 1..chain.len() {
        let (left, right) = chain.split_at_mut(index);
        let (Some(left), Some(right)) = (left.last_mut(), right.first_mut()) else {
            continue;
        };
        let exp = left.exp + left.len..right.exp;
        let obs = left.obs + left.len..right.obs;
        let (bytes, gap) = match (exp.is_empty(), obs.is_empty()) {
            (false, true) => (expected, exp.clone()),
            (true, false) => (observed, obs),
            (true, true) | (false, false) => continue,
        };
        let place = starts.partition_point(|&start| start <= exp.start);
        let back = place.checked_sub(1).map(|place| exp.start - starts[place]);
        let line = bytes[gap.start.saturating_sub(4096.min(left.len))..gap.start]
            .iter()
            .rev()
            .position(|&byte| byte == b'\n');
        let fits = |t: &usize| {
            *t <= left.len && bytes[gap.start - t..gap.start] == bytes[gap.end - t..gap.end]
        };
        let ahead = starts.get(place).map(|next| next - exp.start).filter(|&t| {
            t < right.len && bytes[gap.start..gap.start + t] == bytes[gap.end..gap.end + t]
        });
        if let Some(t) = back.filter(fits) {
            move_back(left, right, t);
        } else if let Some(t) = ahead {
            left.len += t;
            right.exp += t;
            right.obs += t;
            right.len -= t;
        } else if let Some(t) = line.filter(fits) {
            move_back(left, right, t);
        }
    }
}

fn move_back(left: &mut Match, right: &mut Match, t: usize) {
    left.len -= t;
    right.exp -= t;
    right.obs -= t;
    right.len += t;
}

fn between(chain: &[Match], expected: usize, observed: usize) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let (mut exp, mut obs) = (0, 0);
    let end = Match {
        exp: expected,
        obs: observed,
        len: 0,
    };
    for one in chain
        .iter()
        .filter(|one| one.len > 0)
        .chain(std::iter::once(&end))
    {
        if exp < one.exp || obs < one.obs {
            gaps.push(Gap {
                exp: exp..one.exp,
                obs: obs..one.obs,
            });
        }
        (exp, obs) = (one.exp + one.len, one.obs + one.len);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(lines: &[u32]) -> Vec<u8> {
        lines
            .iter()
            .flat_map(|line| {
                format!(
                    "line {line:08} {:032x}\n",
                    u128::from(*line).wrapping_mul(0x1234_5678_9abc_def1_2345)
                )
                .into_bytes()
            })
            .collect()
    }

    const LINE: usize = 47;

    fn gaps_of(expected: &[u8], observed: &[u8]) -> Vec<Gap> {
        let starts: Vec<_> = (0..expected.len()).step_by(LINE).collect();
        gaps(expected, observed, &Index::new(expected), &starts)
    }

    #[test]
    fn a_lost_line_is_found_at_its_start() {
        let expected = text(&[1, 2, 3, 4, 5]);
        let observed = text(&[1, 2, 4, 5]);
        let gap = Gap {
            exp: 2 * LINE..3 * LINE,
            obs: 2 * LINE..2 * LINE,
        };
        assert_eq!(gaps_of(&expected, &observed), [gap]);
    }

    #[test]
    fn a_repeated_line_is_found_behind_the_first() {
        let expected = text(&[1, 2, 3, 4, 5]);
        let observed = text(&[1, 2, 2, 3, 4, 5]);
        let gap = Gap {
            exp: 2 * LINE..2 * LINE,
            obs: 2 * LINE..3 * LINE,
        };
        assert_eq!(gaps_of(&expected, &observed), [gap]);
    }

    #[test]
    fn two_losses_are_two_gaps() {
        let expected = text(&(0..100).collect::<Vec<_>>());
        let observed = text(
            &(0..100)
                .filter(|line| !(10..20).contains(line) && *line != 50)
                .collect::<Vec<_>>(),
        );
        let lost: Vec<_> = gaps_of(&expected, &observed)
            .into_iter()
            .map(|gap| gap.exp)
            .collect();
        assert_eq!(lost, [10 * LINE..20 * LINE, 50 * LINE..51 * LINE]);
    }

    proptest! {
        #[test]
        fn outside_the_gaps_both_sides_are_equal(
            expected in prop::collection::vec(0_u32..200, 0..60), observed in prop::collection::vec(0_u32..200, 0..60),
            cut in any::<prop::sample::Index>()
        ) {
            let (expected, mut observed) = (text(&expected), text(&observed));
            observed.truncate(cut.index(observed.len() + 1));
            let (mut exp, mut obs) = (0, 0);
            for gap in gaps_of(&expected, &observed) {
                prop_assert_eq!(&expected[exp..gap.exp.start], &observed[obs..gap.obs.start]);
                (exp, obs) = (gap.exp.end, gap.obs.end);
            }
            prop_assert_eq!(&expected[exp..], &observed[obs..]);
        }
    }
}
