//! Numbered, self-describing records and the scan that finds them again in a log: a core.
//!
//! A record is `len` bytes:
//!
//! ```text
//! ~r1 RRRRRRRR s GGGG WW NNNNNNNN LLLLLLL CCCCCCCC filler…⏎
//! ```
//!
//! | field | form | meaning |
//! |---|---|---|
//! | `~r1 ` | literal | where a record starts |
//! | R | 8 hex digits | the run |
//! | s | `o` or `e` | stdout or stderr |
//! | G | 4 decimal digits | the generation |
//! | W | 2 decimal digits | the writer, 0 for the task itself |
//! | N | 8 decimal digits | the sequence number within stream, generation and writer |
//! | L | 7 decimal digits | the length of the whole record, header and newline included |
//! | C | 8 hex digits | CRC-32 of everything but this field and the space behind it |
//!
//! The filler of a text record is printable ASCII without `~`, that of a binary record any byte.
//! A newline ends both, unless the record was written without its end on purpose. So loss,
//! repetition, tearing, order and mixed streams can be read from a log alone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::filler;
use crate::stream::Stream;

/// What every record starts with.
pub const MARKER: &[u8; 4] = b"~r1 ";
/// Bytes of a record's header.
pub const HEADER_LEN: usize = 49;
/// Bytes of the shortest record: a header and one more.
pub const MIN_LEN: usize = HEADER_LEN + 1;
/// Bytes of the longest record.
pub const MAX_LEN: usize = 9_999_999;
/// The highest sequence number.
pub const MAX_SEQ: u32 = 99_999_999;
/// The highest writer number.
pub const MAX_WRITER: u8 = 99;
/// The highest generation.
pub const MAX_GENERATION: u32 = 9_999;

/// Where the checksum's field starts in the header.
const CRC_AT: usize = 40;

/// The run that a record belongs to: eight hex digits in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(
    /// The number behind the digits.
    pub u32,
);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The text was not the eight hex digits of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a run id of eight lower-case hex digits")]
pub struct NotARunId(
    /// The refused text.
    pub String,
);

impl FromStr for RunId {
    type Err = NotARunId;

    fn from_str(text: &str) -> Result<Self, NotARunId> {
        hex(text.as_bytes())
            .filter(|_| text.len() == 8)
            .map(Self)
            .ok_or_else(|| NotARunId(text.to_owned()))
    }
}

/// What tells one record from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// The run.
    pub run: RunId,
    /// The stream that it was written to.
    pub stream: Stream,
    /// The run of the task in place, from 0 to [`MAX_GENERATION`].
    pub generation: u32,
    /// The process that wrote it: 0 for the task itself, at most [`MAX_WRITER`].
    pub writer: u8,
    /// The number within stream, generation and writer, from 0 to [`MAX_SEQ`].
    pub seq: u32,
}

/// The bytes between header and terminator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// Printable ASCII without `~`.
    Text,
    /// Any byte.
    Binary,
}

/// A record to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// Which one.
    pub id: RecordId,
    /// Bytes in all, from [`MIN_LEN`] to [`MAX_LEN`].
    pub len: usize,
    /// What it is filled with.
    pub fill: Fill,
    /// Whether a newline ends it.
    pub terminated: bool,
}

impl Record {
    /// Appends the record's bytes to `out`.
    ///
    /// # Panics
    /// If a field is outside the limits that its documentation names.
    pub fn render_into(&self, seed: u64, out: &mut Vec<u8>) {
        let Self {
            id,
            len,
            fill,
            terminated,
        } = *self;
        assert!(
            (MIN_LEN..=MAX_LEN).contains(&len),
            "{len} bytes in a record"
        );
        assert!(
            id.generation <= MAX_GENERATION,
            "{} as a generation",
            id.generation
        );
        assert!(id.writer <= MAX_WRITER, "{} as a writer", id.writer);
        assert!(id.seq <= MAX_SEQ, "{} as a sequence number", id.seq);
        let start = out.len();
        out.reserve(len + 8);
        let letter = match id.stream {
            Stream::Stdout => 'o',
            Stream::Stderr => 'e',
        };
        let head = format!(
            "~r1 {} {letter} {:04} {:02} {:08} {len:07} 00000000 ",
            id.run, id.generation, id.writer, id.seq
        );
        out.extend_from_slice(head.as_bytes());
        let place = filler::Place {
            seed,
            run: id.run.0,
            stream: id.stream,
            generation: id.generation,
            kind: filler::Kind::Record { writer: id.writer },
            number: u64::from(id.seq),
        };
        let filler = len - HEADER_LEN - usize::from(terminated);
        match fill {
            Fill::Text => filler::text(place, filler, out),
            Fill::Binary => filler::binary(place, filler, out),
        }
        if terminated {
            out.push(b'\n');
        }
        let crc = checksum(&out[start..]);
        out[start + CRC_AT..start + CRC_AT + 8].copy_from_slice(format!("{crc:08x}").as_bytes());
    }

    /// The record's bytes.
    ///
    /// # Panics
    /// As [`Record::render_into`].
    #[must_use]
    pub fn render(&self, seed: u64) -> Vec<u8> {
        let mut out = Vec::new();
        self.render_into(seed, &mut out);
        out
    }
}

/// The checksum of a whole record, its own field left out.
fn checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..CRC_AT]);
    hasher.update(&record[HEADER_LEN..]);
    hasher.finalize()
}

/// What a record's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Which record.
    pub id: RecordId,
    /// Bytes of the whole record.
    pub len: usize,
    /// The checksum that it should have.
    pub crc: u32,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` if there is no whole and valid one.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEADER_LEN)?;
        let spaces = [12, 14, 19, 22, 31, 39, 48];
        if !head.starts_with(MARKER) || spaces.iter().any(|&at| head[at] != b' ') {
            return None;
        }
        let stream = match head[13] {
            b'o' => Stream::Stdout,
            b'e' => Stream::Stderr,
            _ => return None,
        };
        let len = decimal(&head[32..39])? as usize;
        if !(MIN_LEN..=MAX_LEN).contains(&len) {
            return None;
        }
        Some(Self {
            id: RecordId {
                run: RunId(hex(&head[4..12])?),
                stream,
                generation: decimal(&head[15..19])?,
                writer: u8::try_from(decimal(&head[20..22])?).ok()?,
                seq: decimal(&head[23..31])?,
            },
            len,
            crc: hex(&head[CRC_AT..CRC_AT + 8])?,
        })
    }
}

fn decimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u32::from(digit - b'0')),
        _ => None,
    })
}

fn hex(digits: &[u8]) -> Option<u32> {
    if digits.len() > 8 {
        return None;
    }
    digits.iter().try_fold(0_u32, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(digit))
    })
}

/// A piece of a log. The items of a scan cover every byte exactly once, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Item {
    /// A whole record with the right checksum.
    Record {
        /// Its header.
        header: Header,
        /// Offset of its first byte.
        at: usize,
        /// Bytes, those of the header's `len`.
        len: usize,
    },
    /// A record's start whose bytes are cut or wrong. It reaches to the next marker, or as far
    /// as its header says; without a valid header, to the end of the line.
    Torn {
        /// Its header, if that was whole.
        header: Option<Header>,
        /// Offset of its first byte.
        at: usize,
        /// Bytes.
        len: usize,
    },
    /// Bytes that belong to no record.
    Foreign {
        /// Offset of the first byte.
        at: usize,
        /// Bytes.
        len: usize,
    },
}

impl Item {
    /// Offset of the item's first byte.
    #[must_use]
    pub fn at(&self) -> usize {
        match *self {
            Self::Record { at, .. } | Self::Torn { at, .. } | Self::Foreign { at, .. } => at,
        }
    }

    /// Bytes of the item; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an item is never empty")]
    pub fn len(&self) -> usize {
        match *self {
            Self::Record { len, .. } | Self::Torn { len, .. } | Self::Foreign { len, .. } => len,
        }
    }
}

/// Cuts a log into records, torn records and foreign bytes. Never panics, whatever the bytes.
pub fn scan(bytes: &[u8]) -> Scan<'_> {
    Scan { bytes, at: 0 }
}

/// The iterator of [`scan`].
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Scan<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        let at = self.at;
        let rest = &self.bytes[at..];
        if rest.is_empty() {
            return None;
        }
        let item = if starts_a_record(rest) {
            record_or_torn(rest, at)
        } else {
            let len = next_marker(rest);
            Item::Foreign { at, len }
        };
        self.at = at + item.len();
        Some(item)
    }
}

/// Whether a marker stands here, be it cut by the end of the log.
fn starts_a_record(rest: &[u8]) -> bool {
    rest.starts_with(MARKER) || (rest.len() < MARKER.len() && MARKER.starts_with(rest))
}

fn record_or_torn(rest: &[u8], at: usize) -> Item {
    let header = Header::parse(rest);
    if let Some(header) = header
        && let Some(record) = rest.get(..header.len)
        && checksum(record) == header.crc
    {
        let len = header.len;
        return Item::Record { header, at, len };
    }
    // At least the marker's first byte belongs to it.
    let next = 1 + next_marker(&rest[1..]);
    let len = match header {
        Some(header) => next.min(header.len),
        None => match rest[..next].iter().position(|&byte| byte == b'\n') {
            Some(newline) => newline + 1,
            None => next,
        },
    };
    Item::Torn { header, at, len }
}

/// Bytes before the next marker; all of them if there is none.
fn next_marker(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(tilde) = bytes[at..].iter().position(|&byte| byte == b'~') {
        at += tilde;
        if starts_a_record(&bytes[at..]) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(seq: u32, len: usize) -> Record {
        Record {
            id: RecordId {
                run: RunId(0xcafe_0001),
                stream: Stream::Stdout,
                generation: 2,
                writer: 0,
                seq,
            },
            len,
            fill: Fill::Text,
            terminated: true,
        }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        (
            any::<(u32, bool, bool, bool)>(),
            0..=MAX_GENERATION,
            0..=MAX_WRITER,
            0..=MAX_SEQ,
            MIN_LEN..400,
        )
            .prop_map(
                |((run, err, binary, terminated), generation, writer, seq, len)| Record {
                    id: RecordId {
                        run: RunId(run),
                        stream: if err { Stream::Stderr } else { Stream::Stdout },
                        generation,
                        writer,
                        seq,
                    },
                    len,
                    fill: if binary { Fill::Binary } else { Fill::Text },
                    terminated,
                },
            )
    }

    #[test]
    fn a_record_starts_with_the_documented_header() {
        let bytes = record(17, 100).render(1);
        assert_eq!(bytes.len(), 100);
        assert!(bytes.starts_with(b"~r1 cafe0001 o 0002 00 00000017 0000100 "));
        assert_eq!(bytes[48], b' ');
        assert_eq!(bytes[99], b'\n');
    }

    #[test]
    fn the_shortest_record_is_found_again() {
        for terminated in [true, false] {
            let short = Record {
                terminated,
                ..record(0, MIN_LEN)
            };
            let bytes = short.render(1);
            let items: Vec<_> = scan(&bytes).collect();
            assert!(
                matches!(items[..], [Item::Record { len: MIN_LEN, .. }]),
                "{items:?}"
            );
        }
    }

    #[test]
    fn a_cut_record_is_torn_up_to_the_next_marker() {
        let mut bytes = record(0, 100).render(1);
        bytes.truncate(60);
        bytes.extend(record(1, 100).render(1));
        let items: Vec<_> = scan(&bytes).collect();
        match items[..] {
            [
                Item::Torn {
                    header: Some(torn),
                    at: 0,
                    len: 60,
                },
                Item::Record { header, at: 60, .. },
            ] => assert_eq!((torn.id.seq, header.id.seq), (0, 1)),
            _ => panic!("{items:?}"),
        }
    }

    #[test]
    fn a_record_inside_another_is_found_and_the_rest_is_foreign() {
        let outer = record(0, 100).render(1);
        let inner = record(1, 100).render(1);
        let bytes = [&outer[..70], &inner[..], &outer[70..]].concat();
        let items: Vec<_> = scan(&bytes).collect();
        assert!(
            matches!(
                items[..],
                [
                    Item::Torn { at: 0, len: 70, .. },
                    Item::Record {
                        at: 70,
                        len: 100,
                        ..
                    },
                    Item::Foreign { at: 170, len: 30 },
                ]
            ),
            "{items:?}"
        );
    }

    #[test]
    fn one_wrong_byte_anywhere_is_seen() {
        let good = record(3, 100).render(1);
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            assert!(
                !scan(&bytes).any(|item| matches!(item, Item::Record { .. })),
                "a change of byte {at} went unseen"
            );
        }
    }

    #[test]
    fn a_header_that_is_cut_is_torn_without_one() {
        for cut in 1..HEADER_LEN {
            let bytes = &record(0, 100).render(1)[..cut];
            let items: Vec<_> = scan(bytes).collect();
            assert_eq!(
                items,
                [Item::Torn {
                    header: None,
                    at: 0,
                    len: cut
                }]
            );
        }
    }

    #[test]
    fn the_seed_changes_the_filler() {
        assert_ne!(record(0, 100).render(1), record(0, 100).render(2));
    }

    #[test]
    fn a_run_id_is_eight_lower_case_digits() {
        assert_eq!("00ff00aa".parse(), Ok(RunId(0x00ff_00aa)));
        assert_eq!(RunId(0x00ff_00aa).to_string(), "00ff00aa");
        for bad in ["", "ff", "00FF00AA", "00ff00aab", "00ff00ag", "+0ff00aa"] {
            assert_eq!(bad.parse::<RunId>(), Err(NotARunId(bad.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_rendered_record_parses_to_itself(record in any_record(), seed: u64) {
            let bytes = record.render(seed);
            let items: Vec<_> = scan(&bytes).collect();
            prop_assert_eq!(items.len(), 1);
            match items[0] {
                Item::Record { header, at: 0, len } => {
                    prop_assert_eq!(header.id, record.id);
                    prop_assert_eq!(len, record.len);
                    prop_assert_eq!(bytes.last() == Some(&b'\n') || record.fill == Fill::Binary,
                        record.terminated || record.fill == Fill::Binary);
                }
                other @ (Item::Record { .. } | Item::Torn { .. } | Item::Foreign { .. }) => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn the_items_cover_every_byte_once_in_order(
            pieces in prop::collection::vec(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..80),
                (any_record(), any::<prop::sample::Index>()).prop_map(|(record, cut)| {
                    let mut bytes = record.render(0);
                    bytes.truncate(cut.index(bytes.len()) + 1);
                    bytes
                }),
                any_record().prop_map(|record| record.render(0)),
                "(~|~r1 |~r1 0000)".prop_map(String::into_bytes),
            ], 0..12)
        ) {
            let bytes = pieces.concat();
            let mut end = 0;
            for item in scan(&bytes) {
                prop_assert_eq!(item.at(), end);
                prop_assert!(item.len() > 0);
                end += item.len();
            }
            prop_assert_eq!(end, bytes.len());
        }

        #[test]
        fn whole_text_records_are_found_behind_any_foreign_text(
            before in "[^~]{0,60}", seqs in prop::collection::vec(0..=MAX_SEQ, 1..6)
        ) {
            let mut bytes = before.into_bytes();
            for &seq in &seqs {
                record(seq, 120).render_into(9, &mut bytes);
            }
            let found: Vec<_> = scan(&bytes).filter_map(|item| match item {
                Item::Record { header, .. } => Some(header.id.seq),
                Item::Torn { .. } | Item::Foreign { .. } => None,
            }).collect();
            prop_assert_eq!(found, seqs);
        }
    }
}
