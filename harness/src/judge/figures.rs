//! Numbers, ranges and bytes in words. (core)

use std::ops::Range;

/// A number with a comma between its thousands.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2,000 records`.
pub(super) fn count(value: usize, noun: &str) -> String {
    let end = if value == 1 { "" } else { "s" };
    format!("{} {noun}{end}", number(value as u64))
}

/// `in one piece`, `in 3 pieces`.
pub(super) fn pieces(value: usize) -> String {
    if value == 1 {
        "in one piece".to_owned()
    } else {
        format!("in {} pieces", number(value as u64))
    }
}

/// The first few of a list, and how many more there are.
pub(super) fn few(items: &[String], most: usize) -> String {
    if items.len() <= most {
        return items.join(", ");
    }
    format!(
        "{}, … ({} more)",
        items[..most].join(", "),
        number((items.len() - most) as u64)
    )
}

/// The start of some bytes, printable.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 40;
    let more = if bytes.len() > MOST { "…" } else { "" };
    format!("`{}{more}`", bytes[..bytes.len().min(MOST)].escape_ascii())
}

/// Sorts ranges and joins those that touch.
pub(super) fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut out: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            Some(_) | None => out.push(range),
        }
    }
    out
}

/// What is left of `ranges` without `without`; both merged.
pub(super) fn subtracted(ranges: &[Range<usize>], without: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut first = 0;
    for range in ranges {
        let mut start = range.start;
        while without.get(first).is_some_and(|hole| hole.end <= start) {
            first += 1;
        }
        let mut next = first;
        while let Some(hole) = without.get(next).filter(|hole| hole.start < range.end) {
            if hole.start > start {
                out.push(start..hole.start);
            }
            start = start.max(hole.end);
            next += 1;
        }
        if start < range.end {
            out.push(start..range.end);
        }
    }
    out
}

/// Bytes in all of some ranges.
pub(super) fn total(ranges: &[Range<usize>]) -> usize {
    ranges.iter().map(ExactSizeIterator::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let texts = [0, 999, 1_000, 64_000, 1_234_567].map(number);
        assert_eq!(texts, ["0", "999", "1,000", "64,000", "1,234,567"]);
    }

    #[test]
    fn a_long_list_says_how_many_more() {
        let items: Vec<_> = (0..6).map(|item| item.to_string()).collect();
        assert_eq!(few(&items, 6), "0, 1, 2, 3, 4, 5");
        assert_eq!(few(&items, 2), "0, 1, … (4 more)");
    }

    #[test]
    fn ranges_are_subtracted_piece_by_piece() {
        let left = subtracted(&[0..10, 20..30], &[0..2, 5..6, 8..22, 40..50]);
        assert_eq!(left, [2..5, 6..8, 22..30]);
        assert_eq!(merged(vec![5..7, 0..3, 3..4, 6..9, 1..1]), [0..4, 5..9]);
    }
}
