//! The writing steps as numbered units; the player and the judge's expectation share them: a core.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::{LeaveOut, Step};
use crate::filler;
use crate::record::{Fill, Record, RecordId, RunId};
use crate::stream::Stream;

/// Gives units their numbers as the steps are played one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Numbering {
    seed: u64,
    run: RunId,
    generation: u32,
    leave_out: Option<LeaveOut>,
    streams: [Next; 2],
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Next {
    /// The next sequence number of each writer that has written.
    seq: Vec<(u8, u32)>,
    raw: u64,
    line: u64,
}

impl Next {
    fn take_seq(&mut self, writer: u8, count: u32) -> u32 {
        if !self.seq.iter().any(|(known, _)| *known == writer) {
            self.seq.push((writer, 0));
        }
        let mut first = 0;
        for (known, next) in &mut self.seq {
            if *known == writer {
                first = *next;
                *next += count;
            }
        }
        first
    }
}

/// What one step writes to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Where to.
    pub stream: Stream,
    /// One content written by the task itself, or one for each writing process.
    pub parts: Vec<WriterPart>,
    /// Bytes of each write(2); without it, one write a unit.
    pub pieces: Option<NonZeroUsize>,
    /// Units of each write(2); without it, one.
    pub together: Option<NonZeroUsize>,
    /// A pause after each write, in microseconds.
    pub pause_us: u64,
    /// Whether the parts are written by processes of their own, at the same time.
    pub concurrent: bool,
}

/// What one writer writes in one step. It can be handed to another process as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterPart {
    seed: u64,
    run: RunId,
    generation: u32,
    stream: Stream,
    content: Content,
    /// The sequence number of a record that is not written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leave_out: Option<u32>,
}

/// The units of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Numbered records.
    Records {
        /// The writer's number.
        writer: u8,
        /// The first sequence number.
        first_seq: u32,
        /// How many.
        count: u32,
        /// Bytes of each.
        bytes: usize,
        /// What they are filled with.
        fill: Fill,
        /// Whether the last one has no newline.
        last_unterminated: bool,
    },
    /// One text.
    Text(
        /// As it is written.
        String,
    ),
    /// Arbitrary bytes in units of `chunk`.
    Raw {
        /// The number of the first unit.
        first: u64,
        /// Bytes in all.
        bytes: u64,
        /// Bytes of a unit; the last may be shorter.
        chunk: NonZeroUsize,
    },
    /// Lines of printable characters.
    Lines {
        /// The number of the first.
        first: u64,
        /// Bytes of each, the newline included.
        lengths: Vec<NonZeroUsize>,
    },
}

/// What is rendered in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A record.
    Record(
        /// Which.
        Record,
    ),
    /// The text of a text step.
    Text {
        /// Bytes.
        len: usize,
    },
    /// Arbitrary bytes.
    Raw {
        /// The unit's number on its stream.
        number: u64,
        /// Bytes.
        len: usize,
    },
    /// A line.
    Line {
        /// The line's number on its stream.
        number: u64,
        /// Bytes, the newline included.
        len: usize,
    },
}

impl Unit {
    /// Bytes of the unit.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "only an empty text step is empty"
    )]
    pub fn len(&self) -> usize {
        match *self {
            Self::Record(Record { len, .. })
            | Self::Text { len }
            | Self::Raw { len, .. }
            | Self::Line { len, .. } => len,
        }
    }
}

impl Numbering {
    /// The numbers at the start of a generation.
    #[must_use]
    pub fn new(seed: u64, run: RunId, generation: u32) -> Self {
        Self {
            seed,
            run,
            generation,
            leave_out: None,
            streams: Default::default(),
        }
    }

    /// The same numbers, with one record that is not written.
    #[must_use]
    pub fn leaving_out(self, leave_out: Option<LeaveOut>) -> Self {
        Self { leave_out, ..self }
    }

    /// What the step writes, numbered behind all that was taken before; `None` if it writes
    /// nothing by itself. Steps must be taken in order.
    pub fn take(&mut self, step: &Step) -> Option<Batch> {
        let mut together = None;
        let (stream, pieces, pause_us, contents) = match step {
            Step::Records {
                stream,
                count,
                bytes,
                binary,
                pieces,
                together: records,
                pause_us,
                writers,
                last_unterminated,
            } => {
                together = *records;
                let ids = if *writers == 1 { 0..=0 } else { 1..=*writers };
                let next = &mut self.streams[stream.index()];
                let contents = ids
                    .map(|writer| Content::Records {
                        writer,
                        first_seq: next.take_seq(writer, *count),
                        count: *count,
                        bytes: *bytes,
                        fill: if *binary { Fill::Binary } else { Fill::Text },
                        last_unterminated: *last_unterminated,
                    })
                    .collect();
                (*stream, *pieces, *pause_us, contents)
            }
            Step::Text { stream, text } => (*stream, None, 0, vec![Content::Text(text.clone())]),
            Step::Raw {
                stream,
                bytes,
                chunk,
            } => {
                let next = &mut self.streams[stream.index()];
                let first = next.raw;
                next.raw += bytes.div_ceil(chunk.get() as u64);
                let content = Content::Raw {
                    first,
                    bytes: *bytes,
                    chunk: *chunk,
                };
                (*stream, None, 0, vec![content])
            }
            Step::Lines {
                stream,
                lengths,
                pieces,
            } => {
                let next = &mut self.streams[stream.index()];
                let first = next.line;
                next.line += lengths.len() as u64;
                let content = Content::Lines {
                    first,
                    lengths: lengths.clone(),
                };
                (*stream, *pieces, 0, vec![content])
            }
            Step::Sleep { .. }
            | Step::Gate { .. }
            | Step::Mark { .. }
            | Step::Close { .. }
            | Step::Reopen { .. }
            | Step::Child { .. }
            | Step::Exec { .. }
            | Step::Ignore { .. }
            | Step::Die { .. }
            | Step::Exit { .. } => return None,
        };
        let concurrent = contents.len() > 1;
        let parts = contents
            .into_iter()
            .map(|content| self.part(stream, content))
            .collect();
        Some(Batch {
            stream,
            parts,
            pieces,
            together,
            pause_us,
            concurrent,
        })
    }

    /// A text outside the numbering, as a child writes it.
    pub(crate) fn part(&self, stream: Stream, content: Content) -> WriterPart {
        WriterPart {
            seed: self.seed,
            run: self.run,
            generation: self.generation,
            stream,
            content,
            leave_out: self
                .leave_out
                .filter(|leave_out| leave_out.stream == stream)
                .map(|leave_out| leave_out.seq),
        }
    }
}

impl WriterPart {
    /// The stream that the part belongs to.
    #[must_use]
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// The part's units, in order.
    pub fn units(&self) -> impl Iterator<Item = Unit> + '_ {
        (0..self.count())
            .map(|index| self.unit(index))
            .filter(|unit| match unit {
                Unit::Record(record) => Some(record.id.seq) != self.leave_out,
                Unit::Text { .. } | Unit::Raw { .. } | Unit::Line { .. } => true,
            })
    }

    /// How many units the part has, one that is left out included.
    #[must_use]
    pub fn count(&self) -> u64 {
        match &self.content {
            Content::Records { count, .. } => u64::from(*count),
            Content::Text(_) => 1,
            Content::Raw { bytes, chunk, .. } => bytes.div_ceil(chunk.get() as u64),
            Content::Lines { lengths, .. } => lengths.len() as u64,
        }
    }

    fn unit(&self, index: u64) -> Unit {
        match &self.content {
            Content::Records {
                writer,
                first_seq,
                count,
                bytes,
                fill,
                last_unterminated,
            } => Unit::Record(Record {
                id: RecordId {
                    run: self.run,
                    stream: self.stream,
                    generation: self.generation,
                    writer: *writer,
                    seq: first_seq + index as u32,
                },
                len: *bytes,
                fill: *fill,
                terminated: !(*last_unterminated && index + 1 == u64::from(*count)),
            }),
            Content::Text(text) => Unit::Text { len: text.len() },
            Content::Raw {
                first,
                bytes,
                chunk,
            } => {
                let start = index * chunk.get() as u64;
                Unit::Raw {
                    number: first + index,
                    len: (bytes - start).min(chunk.get() as u64) as usize,
                }
            }
            Content::Lines { first, lengths } => Unit::Line {
                number: first + index,
                len: lengths[index as usize].get(),
            },
        }
    }

    /// Appends the bytes of one of this part's units.
    pub fn render_into(&self, unit: &Unit, out: &mut Vec<u8>) {
        let place = |kind, number| filler::Place {
            seed: self.seed,
            run: self.run.0,
            stream: self.stream,
            generation: self.generation,
            kind,
            number,
        };
        match *unit {
            Unit::Record(record) => record.render_into(self.seed, out),
            Unit::Text { .. } => {
                if let Content::Text(text) = &self.content {
                    out.extend_from_slice(text.as_bytes());
                }
            }
            Unit::Raw { number, len } => {
                filler::binary(place(filler::Kind::Raw, number), len, out);
            }
            Unit::Line { number, len } => {
                filler::text(place(filler::Kind::Line, number), len - 1, out);
                out.push(b'\n');
            }
        }
    }
}
