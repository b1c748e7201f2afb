//! A span of time on the command line and in files. (core)

use std::time::Duration;

/// A whole number and a unit: `500ms`, `90s`, `10m`, `2h`. Not zero.
///
/// # Errors
/// What is wrong, and how to write it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no span of time; write 90s, 10m or 2h, and not zero");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    match number.checked_mul(millis) {
        Some(0) | None => Err(wrong()),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_a_span_of_time() {
        for (text, millis) in [
            ("1ms", 1),
            ("90s", 90_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in [
            "",
            "90",
            "s",
            "0s",
            "-1s",
            "1.5h",
            "1 s",
            "1h30m",
            "99999999999999999h",
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains("90s, 10m or 2h"), "{text}: {error}");
        }
    }
}
