//! Sizes, as a scenario writes them. (core)

use serde::{Deserialize, Serialize};

/// A number of bytes, written as a number or as text with a unit (`"4KiB"`, `"1MiB"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "SizeText", into = "u64")]
pub struct Size(pub u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum SizeText {
    Bytes(u64),
    Text(String),
}

impl TryFrom<SizeText> for Size {
    type Error = String;

    fn try_from(text: SizeText) -> Result<Self, String> {
        let text = match text {
            SizeText::Bytes(bytes) => return Ok(Self(bytes)),
            SizeText::Text(text) => text,
        };
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = match &text[digits.len()..] {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            other => return Err(format!("unknown unit `{other}`: use B, KiB, MiB or GiB")),
        };
        let number: u64 = digits
            .parse()
            .map_err(|_| format!("`{text}` is not a size"))?;
        number
            .checked_mul(unit)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is too large"))
    }
}

impl From<Size> for u64 {
    fn from(size: Size) -> Self {
        size.0
    }
}
