//! Text that somebody else wrote, made fit to be shown. (core)

/// Stands for what can't be shown.
const REPLACED: char = '\u{fffd}';

/// Text that XML can hold and that does nothing to a terminal: control characters are replaced. Tabs and
/// line ends stay.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// The beginning of a text that may be long, with the length of the whole if it was cut. Made fit to be shown.
#[must_use]
pub fn beginning(text: &str, most_bytes: usize) -> String {
    if text.len() <= most_bytes {
        return printable(text);
    }
    let start = &text[..text.floor_char_boundary(most_bytes)];
    format!("{}… ({} bytes in all)", printable(start), text.len())
}

/// The same for finished output: what sets colours and styles (SGR, ECMA-48) stays as well.
#[must_use]
pub fn paintable(text: &str) -> String {
    let mut shown_text = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(escape) = rest.find('\u{1b}') {
        let (before, from) = rest.split_at(escape);
        shown_text.extend(before.chars().map(shown));
        let length = style_length(from);
        if length == 0 {
            shown_text.push(REPLACED);
        } else {
            shown_text.push_str(&from[..length]);
        }
        rest = &from[length.max(1)..];
    }
    shown_text.extend(rest.chars().map(shown));
    shown_text
}

/// The bytes of the SGR sequence that a text begins with; 0 if it begins with none.
fn style_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let parameters = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
    if parameters.starts_with('m') {
        text.len() - parameters.len() + 1
    } else {
        0
    }
}

fn shown(c: char) -> char {
    let is_refused =
        c.is_control() && !matches!(c, '\t' | '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
    if is_refused { REPLACED } else { c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_terminal_is_replaced_and_what_colours_finished_output_stays() {
        let hostile = "a\u{1b}[2Jb\u{1b}]0;title\u{7}c\u{9b}1md\te\n\u{1b}";
        let harmless = "a\u{fffd}[2Jb\u{fffd}]0;title\u{fffd}c\u{fffd}1md\te\n\u{fffd}";
        assert_eq!(printable(hostile), harmless);
        assert_eq!(paintable(hostile), harmless);
        let red = "\u{1b}[1;31mFAIL\u{1b}[0m é…";
        assert_eq!(paintable(red), red);
        assert_eq!(printable(red), "\u{fffd}[1;31mFAIL\u{fffd}[0m é…");
    }
}
