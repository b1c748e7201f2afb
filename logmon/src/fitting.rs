//! Core: a line of diagnostics that has room in a pipe that is not full.
//!
//! Such a line is written as a whole or not at all (pipe(7)), so a longer one is made to fit before. What is cut off
//! anywhere has no newline any more and, if it was JSON, can't be read; and the next line is glued to it.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// What stands where something is missing.
const ELLIPSIS: &str = "…";
/// Texts of up to so many bytes are never shortened: a level, a time.
const SHORTEST_CUT: usize = 32;

/// Gives a line, which ends in a newline, with no more than this many bytes. In an object of JSON the longest texts
/// are shortened, all to one length; any other line loses its end, but for the newline.
pub(crate) fn fitted(line: &[u8], max_bytes: usize) -> Cow<'_, [u8]> {
    if line.len() <= max_bytes {
        return Cow::Borrowed(line);
    }
    let object = serde_json::from_slice(line).ok();
    let shorter = object.and_then(|object| fitted_object(&object, max_bytes));
    Cow::Owned(shorter.unwrap_or_else(|| fitted_text(line, max_bytes)))
}

/// None if there is so much beside its texts that it can't fit.
fn fitted_object(object: &Map<String, Value>, max_bytes: usize) -> Option<Vec<u8>> {
    let line = |most| format!("{}\n", Value::Object(shortened_object(object, most)));
    // The longer the texts may be, the longer is the line.
    let fits = |most| line(most).len() <= max_bytes;
    let (mut fitting, mut too_long) = (SHORTEST_CUT, max_bytes.max(SHORTEST_CUT) + 1);
    if !fits(fitting) {
        return None;
    }
    while too_long - fitting > 1 {
        let middle = fitting.midpoint(too_long);
        if fits(middle) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    Some(line(fitting).into_bytes())
}

fn shortened_object(object: &Map<String, Value>, most: usize) -> Map<String, Value> {
    let pairs = object.iter();
    pairs
        .map(|(name, value)| (name.clone(), shortened(value, most)))
        .collect()
}

fn shortened(value: &Value, most: usize) -> Value {
    match value {
        Value::String(text) if text.len() > most => {
            let end = text.floor_char_boundary(most.saturating_sub(ELLIPSIS.len()));
            format!("{}{ELLIPSIS}", &text[..end]).into()
        }
        Value::Array(values) => values.iter().map(|value| shortened(value, most)).collect(),
        Value::Object(object) => Value::Object(shortened_object(object, most)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn fitted_text(line: &[u8], max_bytes: usize) -> Vec<u8> {
    let room = max_bytes.saturating_sub(ELLIPSIS.len() + 1);
    let text = String::from_utf8_lossy(line.get(..max_bytes).unwrap_or(line));
    let end = text.floor_char_boundary(room);
    format!("{}{ELLIPSIS}\n", &text[..end]).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn told(line: &[u8], max_bytes: usize) -> String {
        String::from_utf8(fitted(line, max_bytes).into_owned()).unwrap()
    }

    #[test]
    fn a_line_that_fits_is_left_as_it_is() {
        for line in ["a\n", "{\"b\":1, \"a\":2}\n", "\n"] {
            assert_eq!(told(line.as_bytes(), line.len()), line);
        }
    }

    #[test]
    fn a_text_loses_its_end_and_keeps_its_newline() {
        assert_eq!(told("0123456789\n".as_bytes(), 10), "012345…\n");
        assert_eq!(told("01234ü6789\n".as_bytes(), 10), "01234…\n");
        assert_eq!(told(b"{\"no\":\"object\n", 10), "{\"no\":…\n");
    }

    #[test]
    fn of_an_object_the_longest_texts_are_shortened() {
        let line = json!({
            "level": "WARN", "timestamp": "2026-07-31T12:13:20.123456Z",
            "fields": {"message": "m".repeat(100), "error": "e".repeat(1000), "bytes": 7},
        });
        let shorter = told(format!("{line}\n").as_bytes(), 600);
        assert_eq!(shorter.len(), 600);
        let shorter: Value = serde_json::from_str(&shorter).unwrap();
        let error = shorter["fields"]["error"].as_str().unwrap();
        assert_eq!(error, format!("{}…", "e".repeat(error.len() - 3)));
        let mut expected = line;
        expected["fields"]["error"] = error.into();
        assert_eq!(shorter, expected);
    }

    #[test]
    fn an_object_of_numbers_alone_is_no_line_without_an_end() {
        let numbers: Map<_, _> = (0..100).map(|n| (n.to_string(), json!(n))).collect();
        let line = format!("{}\n", Value::Object(numbers));
        let shorter = told(line.as_bytes(), 100);
        assert!(
            shorter.len() <= 100 && shorter.ends_with("…\n"),
            "{shorter}"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_told_is_one_line_that_fits(
            texts in proptest::collection::vec("(a|\"|\\n|\u{1}|ü|\u{10348}){0,1000}", 1..5),
            // Each of the texts is left 32 bytes, which are six times as many in JSON.
            max_bytes in 1000..4096_usize,
        ) {
            let object = json!({"level": "WARN", "fields": texts});
            let shorter = told(format!("{object}\n").as_bytes(), max_bytes);
            let is_line = shorter.len() <= max_bytes && shorter.ends_with("}\n");
            prop_assert!(is_line, "{}", shorter);
            let object: Value = serde_json::from_str(&shorter).unwrap();
            prop_assert_eq!(&object["level"], "WARN");
            prop_assert_eq!(object["fields"].as_array().unwrap().len(), texts.len());
        }

        #[test]
        fn any_bytes_become_a_line_that_fits(
            line in proptest::collection::vec(any::<u8>(), 0..200),
            max_bytes in 10..200_usize,
        ) {
            let line = [line, b"\n".to_vec()].concat();
            let shorter = fitted(&line, max_bytes);
            prop_assert!(shorter.len() <= max_bytes && shorter.ends_with(b"\n"));
        }
    }
}
