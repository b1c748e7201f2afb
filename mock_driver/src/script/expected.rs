//! What a script writes to a stream, as the judge expects it: a core.

use super::batch::{Content, Numbering, Unit, WriterPart};
use super::{Script, Step};
use crate::record::{RecordId, RunId};
use crate::stream::Stream;

/// What a whole script writes to one stream in one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// These bytes, in this order.
    Exact(
        /// The bytes, rendered on demand.
        ExactStream,
    ),
    /// Several processes write at the same time: the order between them is open.
    Unordered {
        /// Every record, in the order of each writer.
        records: Vec<RecordId>,
        /// Bytes of the stream in all.
        bytes: u64,
    },
    /// Nobody can say: a foreign program writes, or a child writes at a time of its own.
    Unknown,
}

/// The exact bytes of a stream. Small in memory: the bytes are rendered on demand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExactStream {
    parts: Vec<WriterPart>,
    chunks: Vec<Chunk>,
    places: Vec<(usize, Unit)>,
    len: u64,
}

/// One unit of an exact stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of its first byte in the stream.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// What it is.
    pub kind: ChunkKind,
}

/// What a chunk of a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKind {
    /// A numbered record.
    Record {
        /// Its sequence number.
        seq: u32,
    },
    /// The text of a text step or of a child.
    Text,
    /// Arbitrary bytes.
    Raw,
    /// A line.
    Line,
}

impl ExactStream {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The units, in the order of their offsets, without gaps.
    #[must_use]
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// All bytes.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len as usize + 8);
        for index in 0..self.chunks.len() {
            self.render_into(index, &mut out);
        }
        out
    }

    /// Appends the bytes of the chunk at `index` of [`ExactStream::chunks`].
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn render_into(&self, index: usize, out: &mut Vec<u8>) {
        let (part, unit) = &self.places[index];
        self.parts[*part].render_into(unit, out);
    }

    fn push(&mut self, part: WriterPart) {
        for unit in part.units() {
            let len = unit.len() as u64;
            if len == 0 {
                continue;
            }
            self.chunks.push(Chunk {
                offset: self.len,
                len,
                kind: match unit {
                    Unit::Record(record) => ChunkKind::Record { seq: record.id.seq },
                    Unit::Text { .. } => ChunkKind::Text,
                    Unit::Raw { .. } => ChunkKind::Raw,
                    Unit::Line { .. } => ChunkKind::Line,
                },
            });
            self.places.push((self.parts.len(), unit));
            self.len += len;
        }
        self.parts.push(part);
    }
}

impl Script {
    /// What the script writes to `stream` when generation `generation` of run `run` plays it to
    /// its end. The output of a child that writes a text is [`Expected::Exact`] only if nothing
    /// else is written to its streams after it was started.
    #[must_use]
    pub fn expected(&self, run: RunId, generation: u32, stream: Stream) -> Expected {
        let mut numbering = Numbering::new(self.seed, run, generation);
        let mut exact = ExactStream::default();
        let mut unordered = false;
        let mut childs_text: Option<WriterPart> = None;
        for step in &self.steps {
            match step {
                Step::Exec { .. } => return Expected::Unknown,
                Step::Child {
                    streams,
                    text: Some(text),
                    ..
                } if streams.contains(&stream) => {
                    let part = numbering.part(stream, Content::Text(text.clone()));
                    if childs_text.replace(part).is_some() {
                        return Expected::Unknown;
                    }
                }
                Step::Exit { .. } | Step::Die { .. } => break,
                Step::Records { .. }
                | Step::Text { .. }
                | Step::Raw { .. }
                | Step::Lines { .. }
                | Step::Sleep { .. }
                | Step::Gate { .. }
                | Step::Mark { .. }
                | Step::Close { .. }
                | Step::Reopen { .. }
                | Step::Child { .. }
                | Step::Ignore { .. } => {}
            }
            let Some(batch) = numbering.take(step) else {
                continue;
            };
            if batch.stream != stream {
                continue;
            }
            if childs_text.is_some() {
                return Expected::Unknown;
            }
            unordered |= batch.concurrent;
            for part in batch.parts {
                exact.push(part);
            }
        }
        if let Some(part) = childs_text {
            exact.push(part);
        }
        if unordered {
            Expected::Unordered {
                records: exact.records(),
                bytes: exact.len,
            }
        } else {
            Expected::Exact(exact)
        }
    }
}

impl ExactStream {
    fn records(&self) -> Vec<RecordId> {
        let id = |(_, unit): &(usize, Unit)| match unit {
            Unit::Record(record) => Some(record.id),
            Unit::Text { .. } | Unit::Raw { .. } | Unit::Line { .. } => None,
        };
        self.places.iter().filter_map(id).collect()
    }
}
