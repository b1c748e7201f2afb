//! Values of a configuration (core): what stands in JSON or TOML, and what goes over the wire.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

/// A number in the one form that it has on the wire, so that equal numbers are equal values.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// A number that is no whole `i64`, and exactly this double.
    Float(f64),
    /// Any other, in decimal digits without an exponent.
    Decimal(String),
}

/// More digits than this are refused; a short text with an exponent could stand for gigabytes.
const MAX_DIGITS: usize = 400;

impl Number {
    /// Reads a decimal number, with or without sign, fraction and exponent. Gives nothing for what is no
    /// number, and for a number of more than 400 digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
        let plain = plain(digits.trim_end_matches('0'), point)?;
        if plain == "0" {
            return Some(Self::Int(0));
        }
        let plain = if negative { format!("-{plain}") } else { plain };
        if let Ok(int) = plain.parse() {
            return Some(Self::Int(int));
        }
        let float: f64 = plain.parse().ok()?;
        // 1,074 digits after the point are enough to write down every double exactly.
        let exact = format!("{float:.1074}");
        let exact = exact.trim_end_matches('0').trim_end_matches('.');
        Some(if float.is_finite() && exact == plain {
            Self::Float(float)
        } else {
            Self::Decimal(plain)
        })
    }
}

/// Puts the point behind the digit of this index, without zeros that say nothing.
fn plain(digits: &str, point: i64) -> Option<String> {
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let digits = &digits[leading..];
    if digits.is_empty() {
        return Some("0".to_owned());
    }
    let point = point.checked_sub(i64::try_from(leading).ok()?)?;
    let distance = usize::try_from(point.unsigned_abs()).ok()?;
    if digits.len().saturating_add(distance) > MAX_DIGITS {
        return None;
    }
    Some(if point <= 0 {
        format!("0.{}{digits}", "0".repeat(distance))
    } else if distance >= digits.len() {
        format!("{digits}{}", "0".repeat(distance - digits.len()))
    } else {
        format!("{}.{}", &digits[..distance], &digits[distance..])
    })
}

impl From<i64> for Number {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => write!(f, "{int}"),
            Self::Float(float) => write!(f, "{float}"),
            Self::Decimal(text) => f.write_str(text),
        }
    }
}

/// A value of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing: the key is not set.
    Null,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// Bytes that are no text. No configuration has them, but what a driver keeps may.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Self>),
    /// Keys in byte order, each with its value.
    Map(BTreeMap<String, Self>),
}

impl Value {
    /// Gives the value that stands in JSON. TOML is JSON to serde, so it goes the same way.
    #[must_use]
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(bool) => Self::Bool(*bool),
            // serde_json writes a number as the shortest decimal that reads back as the same one.
            Json::Number(number) => Number::parse(&number.to_string())
                .map_or_else(|| Self::Text(number.to_string()), Self::Number),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(list) => Self::List(list.iter().map(Self::from_json).collect()),
            Json::Object(keys) => Self::Map(
                keys.iter()
                    .map(|(key, value)| (key.clone(), Self::from_json(value)))
                    .collect(),
            ),
        }
    }

    /// Gives the value as JSON without the keys that are null, so that serde's defaults apply to them.
    /// A number that no double holds is a text, as it is on the wire; bytes are a list of numbers.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(bool) => (*bool).into(),
            Self::Number(Number::Int(int)) => (*int).into(),
            Self::Number(Number::Float(float)) => (*float).into(),
            Self::Number(Number::Decimal(text)) | Self::Text(text) => text.as_str().into(),
            Self::Bytes(bytes) => bytes.as_slice().into(),
            Self::List(list) => list.iter().map(Self::to_json).collect(),
            Self::Map(keys) => keys
                .iter()
                .filter(|(_, value)| **value != Self::Null)
                .map(|(key, value)| (key.clone(), value.to_json()))
                .collect(),
        }
    }

    /// Names the kind of value with its article, and for a short one the value itself.
    #[must_use]
    pub fn described(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(bool) => format!("the bool {bool}"),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(text) => format!("the string {}", crate::shown::shown(text.as_bytes())),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::List(list) => format!("a list of {}", list.len()),
            Self::Map(_) => "an object".to_owned(),
        }
    }
}

/// Names the kind of a JSON value with its article.
pub(crate) fn kind_of_json(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decimal(text: &str) -> Option<Number> {
        Some(Number::Decimal(text.to_owned()))
    }

    #[test]
    fn a_whole_number_is_an_int_an_exact_one_a_float_and_any_other_decimal_digits() {
        for (text, int) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("0e5", 0),
            ("007", 7),
            ("1e3", 1000),
            ("1.50e1", 15),
            ("-9223372036854775808", i64::MIN),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(Number::parse(text), Some(Number::Int(int)), "{text}");
        }
        for (text, float) in [
            ("0.5", 0.5),
            ("-2.50", -2.5),
            ("125e-3", 0.125),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
        ] {
            assert_eq!(Number::parse(text), Some(Number::Float(float)), "{text}");
        }
        assert_eq!(Number::parse("0.1"), decimal("0.1"));
        assert_eq!(Number::parse("-1e-3"), decimal("-0.001"));
        assert_eq!(Number::parse("1.10"), decimal("1.1"));
        assert_eq!(
            Number::parse("9223372036854775809"),
            decimal("9223372036854775809")
        );
        assert_eq!(
            Number::parse("1e30"),
            decimal("1000000000000000000000000000000")
        );
    }

    #[test]
    fn what_is_no_number_or_has_too_many_digits_is_none() {
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1x",
            "0x10",
            "1e401",
            "1e-999999999999",
            "--1",
            "1.2.3",
        ] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        assert!(Number::parse("1e9223372036854775807").is_none());
    }

    #[test]
    fn json_without_its_nulls_lets_defaults_apply() {
        let json = json!({"a": null, "b": [1, 0.5, "x", null, true], "c": {"d": null}});
        let value = Value::from_json(&json);
        assert_eq!(
            value.to_json(),
            json!({"b": [1, 0.5, "x", null, true], "c": {}})
        );
    }

    proptest! {
        #[test]
        fn a_double_keeps_its_value(float in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
            let number = Number::parse(&float.to_string());
            // Small ones have more digits than are taken.
            if let Some(number) = number {
                prop_assert_eq!(number.to_string().parse::<f64>().unwrap(), float);
            } else {
                prop_assert!(float.abs() < 1e-80, "{}", float);
            }
        }

        #[test]
        fn the_form_does_not_depend_on_how_the_number_was_written(digits in "[1-9][0-9]{0,30}", shift in 0..40_usize) {
            let shifted = format!("{digits}{}e-{shift}", "0".repeat(shift));
            prop_assert_eq!(Number::parse(&digits), Number::parse(&shifted));
        }
    }
}
