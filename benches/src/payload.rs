//! Core: the bytes that a producer writes: numbered lines, a pure function of their length and number.
//!
//! A line is `NNNNNNNNNNNNNNNN CCCCCCCC filler…\n`: its number and a checksum of the number in
//! hexadecimal digits, then printable filler. The place of a byte in the stream determines it, so a log
//! is compared byte for byte, and a missing, repeated or changed byte is seen wherever it lies.

/// The shortest line: number, checksum, their blanks and the newline.
pub const SHORTEST_LINE_BYTES: usize = 27;

/// The ring holds at least so many bytes, so that it is no smaller than a pipe.
const RING_BYTES: usize = 1 << 20;
/// The ring is a multiple of this, so that blocks of this length never wrap around.
pub const BLOCK_BYTES: usize = 64 * 1024;
/// The filler of a line is cut from a pool of so many printable bytes.
const POOL_BYTES: usize = 4 * 1024;
const DIGITS: &[u8; 16] = b"0123456789abcdef";
const FILLER: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-";

/// A ring of prepared lines. To make a line is to stamp its number into a slot.
#[derive(Debug, Clone)]
pub struct Payload {
    line_bytes: usize,
    lines: u64,
    ring: Vec<u8>,
}

impl Payload {
    /// Prepares lines of `line_bytes` bytes, the newline included.
    ///
    /// # Panics
    /// If a line is shorter than [`SHORTEST_LINE_BYTES`].
    #[must_use]
    pub fn new(line_bytes: usize) -> Payload {
        assert!(
            line_bytes >= SHORTEST_LINE_BYTES,
            "a line has at least {SHORTEST_LINE_BYTES} bytes"
        );
        let mut lines = BLOCK_BYTES / greatest_common_divisor(line_bytes, BLOCK_BYTES);
        while lines * line_bytes < RING_BYTES {
            lines *= 2;
        }
        let pool = filler();
        let mut ring = vec![b' '; lines * line_bytes];
        for (slot, line) in ring.chunks_exact_mut(line_bytes).enumerate() {
            let mut start = mix(slot as u64) as usize % POOL_BYTES;
            for piece in line[SHORTEST_LINE_BYTES - 1..].chunks_mut(POOL_BYTES) {
                piece.copy_from_slice(&pool[start..start + piece.len()]);
                start = (start + 1) % POOL_BYTES;
            }
            line[line_bytes - 1] = b'\n';
        }
        Payload {
            line_bytes,
            lines: lines as u64,
            ring,
        }
    }

    /// The length of a line in bytes, its newline included.
    #[must_use]
    pub fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    /// The length of the ring in bytes: a multiple of [`BLOCK_BYTES`] and of the line.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.ring.len()
    }

    /// The ring as it stands; its slot `n` holds the line stamped into it last.
    #[must_use]
    pub fn ring(&self) -> &[u8] {
        &self.ring
    }

    /// Stamps a number into its slot and gives the line.
    pub fn line(&mut self, number: u64) -> &[u8] {
        let start = (number % self.lines) as usize * self.line_bytes;
        let line = &mut self.ring[start..start + self.line_bytes];
        put_hex(&mut line[..16], number);
        put_hex(&mut line[17..25], mix(number) >> 32);
        line
    }
}

/// The number that a line carries; none if this is not the beginning of a line.
#[must_use]
pub fn number_of(line: &[u8]) -> Option<u64> {
    let head = line.get(..SHORTEST_LINE_BYTES - 1)?;
    let number = u64::from_str_radix(std::str::from_utf8(&head[..16]).ok()?, 16).ok()?;
    let check = u64::from_str_radix(std::str::from_utf8(&head[17..25]).ok()?, 16).ok()?;
    (check == mix(number) >> 32 && head[16] == b' ').then_some(number)
}

/// The pool twice, so that a piece may begin anywhere in it.
fn filler() -> Vec<u8> {
    let mut state = 0;
    let pool: Vec<u8> = std::iter::repeat_with(|| {
        state = mix(state);
        FILLER[(state & 63) as usize]
    })
    .take(POOL_BYTES)
    .collect();
    pool.repeat(2)
}

fn put_hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(value & 15) as usize];
        value >>= 4;
    }
}

/// SplitMix64.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_its_number_and_ends_in_its_only_newline() {
        for line_bytes in [SHORTEST_LINE_BYTES, 100, 1024, 16 * 1024] {
            let mut payload = Payload::new(line_bytes);
            for number in [0, 1, 77_777, u64::MAX] {
                let line = payload.line(number).to_vec();
                assert_eq!(line.len(), line_bytes);
                assert_eq!(number_of(&line), Some(number));
                assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line_bytes - 1));
            }
        }
    }

    #[test]
    fn a_changed_digit_is_no_number() {
        let mut line = Payload::new(100).line(5).to_vec();
        line[15] = b'6';
        assert_eq!(number_of(&line), None);
    }

    #[test]
    fn the_ring_holds_whole_lines_and_whole_blocks() {
        for line_bytes in [27, 100, 1000, 1024, 16 * 1024] {
            let payload = Payload::new(line_bytes);
            assert_eq!(payload.ring_bytes() % line_bytes, 0);
            assert_eq!(payload.ring_bytes() % BLOCK_BYTES, 0);
            assert!(payload.ring_bytes() >= RING_BYTES);
        }
    }
}
