//! The payload bytes, a function of seed, run, stream, generation and number: a core.
//!
//! It is our own function because the generators of a library promise no stable output between
//! their versions, and a log must be judged by the same bytes years later.

use crate::stream::Stream;

/// What a run of filler bytes belongs to; two different places never share their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seed: u64,
    pub(crate) run: u32,
    pub(crate) stream: Stream,
    pub(crate) generation: u32,
    pub(crate) kind: Kind,
    pub(crate) number: u64,
}

/// The kind of unit that is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Record { writer: u8 },
    Raw,
    Line,
}

impl Place {
    /// The generator's state at the first byte of this place.
    fn state(self) -> u64 {
        let kind = match self.kind {
            Kind::Record { writer } => u64::from(writer),
            Kind::Raw => 1 << 8,
            Kind::Line => 2 << 8,
        };
        let mut state = mix(self.seed ^ 0x6c6f_676d_6f6e_2131);
        for part in [
            u64::from(self.run),
            self.stream.index() as u64,
            u64::from(self.generation),
            kind,
            self.number,
        ] {
            state = mix(state.wrapping_add(GAMMA) ^ part);
        }
        state
    }
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// One round of the splitmix64 finaliser.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Appends `len` arbitrary bytes.
pub(crate) fn binary(place: Place, len: usize, out: &mut Vec<u8>) {
    let mut state = place.state();
    let end = out.len() + len;
    out.reserve(len + 8);
    while out.len() < end {
        state = state.wrapping_add(GAMMA);
        out.extend_from_slice(&mix(state).to_le_bytes());
    }
    out.truncate(end);
}

/// Appends `len` bytes of printable ASCII, from space to `}`: no `~` and no newline.
pub(crate) fn text(place: Place, len: usize, out: &mut Vec<u8>) {
    let start = out.len();
    binary(place, len, out);
    for byte in &mut out[start..] {
        // 94 characters; the product of two bytes fits 16 bits, so the shift fits 8.
        *byte = 0x20 + ((u16::from(*byte) * 94) >> 8) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Place {
        Place {
            seed: 7,
            run: 0xa1b2_c3d4,
            stream: Stream::Stdout,
            generation: 3,
            kind: Kind::Record { writer: 0 },
            number,
        }
    }

    #[test]
    fn the_bytes_of_a_place_never_change() {
        let mut out = Vec::new();
        text(place(5), 24, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), PINNED);
    }

    /// Pinned: a change here makes every recorded log unreadable to the judge.
    const PINNED: &str = "B;js8;.4(0EIBc 95`;Sv%#D";

    #[test]
    fn two_places_differ_in_their_bytes() {
        let places = [
            place(5),
            place(6),
            Place {
                seed: 8,
                ..place(5)
            },
            Place { run: 1, ..place(5) },
            Place {
                stream: Stream::Stderr,
                ..place(5)
            },
            Place {
                generation: 4,
                ..place(5)
            },
            Place {
                kind: Kind::Record { writer: 1 },
                ..place(5)
            },
            Place {
                kind: Kind::Raw,
                ..place(5)
            },
            Place {
                kind: Kind::Line,
                ..place(5)
            },
        ];
        let mut seen = std::collections::HashSet::new();
        for place in places {
            let mut out = Vec::new();
            binary(place, 16, &mut out);
            assert!(seen.insert(out), "{place:?} repeats the bytes of another");
        }
    }

    #[test]
    fn text_is_printable_without_a_tilde() {
        let mut out = Vec::new();
        text(place(1), 100_000, &mut out);
        assert_eq!(out.len(), 100_000);
        assert!(out.iter().all(|byte| (0x20..0x7e).contains(byte)));
    }
}
