//! How strange bytes stand in a message: printable, on one line and short (core).

const MAX_CHARS: usize = 120;

/// Gives the bytes as text within quotes, with escapes for what cannot be printed. What is longer than
/// 120 characters is cut, and its length in bytes is told.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut short = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MAX_CHARS {
            return format!("\"{short}…\" ({} bytes)", bytes.len());
        }
        short.extend(c.escape_debug());
    }
    format!("\"{short}\"")
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_cannot_be_printed_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(shown(b"a\x1b[31m\n"), "\"a\\u{1b}[31m\\n\"");
        assert_eq!(shown(&[0xff]), "\"\u{fffd}\"");
        let long = shown(&[b'x'; 1000]);
        assert_eq!(long, format!("\"{}…\" (1000 bytes)", "x".repeat(120)));
    }
}
