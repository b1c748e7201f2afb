//! What faulty drivers do to the bytes on their way: a core.

use crate::fault::Change;

/// A change with what it carries from one chunk to the next.
#[derive(Debug)]
pub(crate) struct Changer {
    change: Change,
    kept: Vec<u8>,
    inside_line: bool,
}

impl Changer {
    pub(crate) fn new(change: Change) -> Self {
        Self {
            change,
            kept: Vec::new(),
            inside_line: false,
        }
    }

    /// What is to be delivered for a chunk that was read.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        match self.change {
            Change::None => chunk.to_vec(),
            Change::CutAtNul => {
                let end = chunk.iter().position(|&byte| byte == 0);
                chunk[..end.unwrap_or(chunk.len())].to_vec()
            }
            Change::CrLf => {
                let mut out = Vec::with_capacity(chunk.len());
                for &byte in chunk {
                    if byte == b'\n' {
                        out.push(b'\r');
                    }
                    out.push(byte);
                }
                out
            }
            Change::Prefix(prefix) => {
                let mut out = Vec::with_capacity(chunk.len());
                for line in chunk.split_inclusive(|&byte| byte == b'\n') {
                    if !self.inside_line {
                        out.extend_from_slice(prefix.as_bytes());
                    }
                    out.extend_from_slice(line);
                    self.inside_line = !line.ends_with(b"\n");
                }
                out
            }
            Change::SwapPieces(size) => {
                let mut pieces: Vec<_> = chunk.chunks(size).collect();
                // The second copier is a little faster than the first, each time.
                for pair in pieces.chunks_exact_mut(2) {
                    pair.swap(0, 1);
                }
                pieces.concat()
            }
            Change::WholeLines => {
                self.kept.extend_from_slice(chunk);
                let newline = self.kept.iter().rposition(|&byte| byte == b'\n');
                let whole = newline.map_or(0, |at| at + 1);
                self.kept.drain(..whole).collect()
            }
            Change::Blocks(size) => {
                self.kept.extend_from_slice(chunk);
                let whole = self.kept.len() / size * size;
                self.kept.drain(..whole).collect()
            }
        }
    }

    /// What is still to be delivered at the end of the stream.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        match self.change {
            Change::Blocks(_) => std::mem::take(&mut self.kept),
            Change::None
            | Change::CutAtNul
            | Change::CrLf
            | Change::Prefix(_)
            | Change::SwapPieces(_)
            | Change::WholeLines => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: Change, chunks: &[&str]) -> String {
        let mut changer = Changer::new(change);
        let mut out: Vec<u8> = Vec::new();
        for chunk in chunks {
            out.extend(changer.push(chunk.as_bytes()));
        }
        out.extend(changer.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_change_changes_nothing() {
        assert_eq!(changed(Change::None, &["a\0", "b\n", "c"]), "a\0b\nc");
    }

    #[test]
    fn a_prefix_stands_once_per_line_however_it_is_cut() {
        assert_eq!(
            changed(Change::Prefix(">"), &["a", "b\nc\n", "d"]),
            ">ab\n>c\n>d"
        );
    }

    #[test]
    fn newlines_turn_into_two_bytes() {
        assert_eq!(changed(Change::CrLf, &["a\n", "\nb"]), "a\r\n\r\nb");
    }

    #[test]
    fn a_chunk_ends_at_its_first_nul() {
        assert_eq!(changed(Change::CutAtNul, &["ab\0c\0d", "ef"]), "abef");
    }

    #[test]
    fn an_unterminated_tail_is_lost() {
        assert_eq!(changed(Change::WholeLines, &["a\nb", "c\nd"]), "a\nbc\n");
    }

    #[test]
    fn blocks_are_gathered_and_flushed_at_the_end() {
        let mut changer = Changer::new(Change::Blocks(4));
        assert_eq!(changer.push(b"abc"), b"");
        assert_eq!(changer.push(b"defghi"), b"abcdefgh");
        assert_eq!(changer.finish(), b"i");
    }

    #[test]
    fn pieces_of_a_chunk_change_places() {
        assert_eq!(
            changed(Change::SwapPieces(2), &["aabbccdde", "f"]),
            "bbaaddccef"
        );
    }
}
