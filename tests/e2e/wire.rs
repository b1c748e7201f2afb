//! A reader of protobuf that knows no message: it prints fields by their numbers, so it can't read back the
//! mistakes of whoever wrote them. (core)

use std::fmt::Write;

/// Numbers that a message can have as a field of one that is known to nobody.
const FIELDS: std::ops::RangeInclusive<u64> = 1..=99;

#[derive(Debug)]
enum Value<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

/// The fields of a message, one after the other; those that lie deeper in braces, and further in where they
/// need lines of their own. What is `hidden`, by the numbers on the way to it, is only told to be there.
pub(crate) fn text(bytes: &[u8], hidden: &dyn Fn(&[u64]) -> bool) -> String {
    let fields = fields(bytes).unwrap_or_else(|| panic!("no message: {bytes:?}"));
    let mut out = String::new();
    for line in lines(&mut Vec::new(), fields, hidden) {
        writeln!(out, "  {line}").unwrap();
    }
    out
}

/// A line may be so long.
const WIDTH: usize = 100;

fn lines(
    way: &mut Vec<u64>,
    fields: Vec<(u64, Value<'_>)>,
    hidden: &dyn Fn(&[u64]) -> bool,
) -> Vec<String> {
    let mut all = Vec::new();
    for (number, value) in fields {
        way.push(number);
        if hidden(way) {
            all.push(format!("{number}: …"));
            way.pop();
            continue;
        }
        let inner = match &value {
            Value::Bytes(bytes) if !is_text(bytes) => self::fields(bytes),
            Value::Bytes(_) | Value::Varint(_) | Value::Fixed64(_) => None,
        };
        if let Some(inner) = inner {
            let inner = lines(way, inner, hidden);
            let in_one = format!("{number}: {{ {} }}", inner.join(", "));
            if in_one.chars().count() <= WIDTH {
                all.push(in_one);
            } else {
                all.push(format!("{number}:"));
                all.extend(inner.into_iter().map(|line| format!("  {line}")));
            }
        } else {
            let value = match value {
                // Negative ones are written as they are meant: in ten bytes.
                Value::Varint(int) => int.cast_signed().to_string(),
                Value::Fixed64(bytes) => format!("{:?}", f64::from_le_bytes(bytes)),
                Value::Bytes(bytes) => format!("\"{}\"", bytes.escape_ascii()),
            };
            all.push(format!("{number}: {value}"));
        }
        way.pop();
    }
    all
}

/// A text has no control characters, and a message almost always has one.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_ok_and(|text| !text.contains(|one: char| one.is_control() && one != '\n'))
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let number = key >> 3;
        if !FIELDS.contains(&number) {
            return None;
        }
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => Value::Fixed64(*bytes.split_off(..8)?.first_chunk()?),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                Value::Bytes(bytes.split_off(..len)?)
            }
            _ => return None,
        };
        all.push((number, value));
    }
    Some(all)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let first = bytes.split_off_first()?;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
