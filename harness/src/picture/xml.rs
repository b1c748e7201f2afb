//! Text as it may stand in XML and in HTML. (core)

/// Text with every character that means something there written as a reference, and those that
/// may not stand there as `\u{fffd}`.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(character),
            other if other.is_control() || matches!(other, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_read_back_but_for_what_may_not_stand_there(text in any::<String>()) {
            let xml = format!("<a b=\"{0}\">{0}</a>", escaped(&text));
            let document = roxmltree::Document::parse(&xml).unwrap();
            let plain: String = text
                .chars()
                .map(|one| if one.is_control() && one != '\n' && one != '\t' || matches!(one, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { one })
                .collect();
            prop_assert_eq!(document.root_element().text().unwrap_or_default(), plain);
        }
    }
}
