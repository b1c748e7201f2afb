//! MessagePack, as configurations and the states of drivers travel in it (core).
//!
//! Written is the one form that the original writes: the shortest of each length and of each whole
//! number, maps with their keys in byte order. A number that is no whole `i64` is a double if it is
//! exactly one, else its decimal digits as a text. Read is everything that MessagePack knows, the old
//! form without `str8` too.

use std::collections::BTreeMap;

use crate::value::{Number, Value};

/// Gives the bytes of a value.
#[must_use]
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(value, &mut bytes);
    bytes
}

fn put(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(false) => out.push(0xc2),
        Value::Bool(true) => out.push(0xc3),
        Value::Number(Number::Int(int)) => put_int(*int, out),
        Value::Number(Number::Float(float)) => {
            out.push(0xcb);
            out.extend(float.to_be_bytes());
        }
        Value::Number(Number::Decimal(text)) | Value::Text(text) => {
            put_length(&STR, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Bytes(bytes) => {
            put_length(&BIN, bytes.len(), out);
            out.extend(bytes);
        }
        Value::List(list) => {
            put_length(&ARRAY, list.len(), out);
            list.iter().for_each(|one| put(one, out));
        }
        Value::Map(keys) => {
            put_length(&MAP, keys.len(), out);
            for (key, value) in keys {
                put_length(&STR, key.len(), out);
                out.extend(key.as_bytes());
                put(value, out);
            }
        }
    }
}

/// Narrowing is meant: each arm holds only what fits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "each range fits its type"
)]
fn put_int(int: i64, out: &mut Vec<u8>) {
    match int {
        -32..=0x7f => out.push(int as u8),
        0x80..=0xff => out.extend([0xcc, int as u8]),
        0x100..=0xffff => put_tagged(0xcd, &(int as u16).to_be_bytes(), out),
        0x1_0000..=0xffff_ffff => put_tagged(0xce, &(int as u32).to_be_bytes(), out),
        0x1_0000_0000.. => put_tagged(0xcf, &int.to_be_bytes(), out),
        -0x80..=-33 => out.extend([0xd0, int as u8]),
        -0x8000..=-0x81 => put_tagged(0xd1, &(int as i16).to_be_bytes(), out),
        -0x8000_0000..=-0x8001 => put_tagged(0xd2, &(int as i32).to_be_bytes(), out),
        ..=-0x8000_0001 => put_tagged(0xd3, &int.to_be_bytes(), out),
    }
}

fn put_tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend(bytes);
}

/// The tags of one kind: up to which length the first tag holds it itself, and the tags of 8, 16 and 32 bits.
struct Lengths {
    short: Option<(u8, usize)>,
    bits_8: Option<u8>,
    bits_16: u8,
    bits_32: u8,
}

const STR: Lengths = lengths(Some((0xa0, 31)), Some(0xd9), 0xda, 0xdb);
const BIN: Lengths = lengths(None, Some(0xc4), 0xc5, 0xc6);
const ARRAY: Lengths = lengths(Some((0x90, 15)), None, 0xdc, 0xdd);
const MAP: Lengths = lengths(Some((0x80, 15)), None, 0xde, 0xdf);

const fn lengths(
    short: Option<(u8, usize)>,
    bits_8: Option<u8>,
    bits_16: u8,
    bits_32: u8,
) -> Lengths {
    Lengths {
        short,
        bits_8,
        bits_16,
        bits_32,
    }
}

fn put_length(kind: &Lengths, length: usize, out: &mut Vec<u8>) {
    let byte = u8::try_from(length);
    match (kind.short, kind.bits_8, byte, u16::try_from(length)) {
        (Some((tag, max)), _, Ok(byte), _) if length <= max => out.push(tag | byte),
        (_, Some(tag), Ok(byte), _) => out.extend([tag, byte]),
        (_, _, _, Ok(short)) => put_tagged(kind.bits_16, &short.to_be_bytes(), out),
        _ => {
            let long = u32::try_from(length).expect("a message holds less than 4 GiB");
            put_tagged(kind.bits_32, &long.to_be_bytes(), out);
        }
    }
}

/// Why bytes are no MessagePack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end within a value.
    #[error("read MessagePack: it ends within the value that begins at byte {at}")]
    CutOff {
        /// Where the value begins.
        at: usize,
    },
    /// A tag that MessagePack does not have.
    #[error("read MessagePack: there is no tag {tag:#04x}, as at byte {at}")]
    Tag {
        /// The tag.
        tag: u8,
        /// Where it stands.
        at: usize,
    },
    /// A key is neither a text nor a number.
    #[error("read MessagePack: the key at byte {at} is {found}, a string is expected")]
    Key {
        /// Where it begins.
        at: usize,
        /// What it is.
        found: String,
    },
    /// Values lie deeper in each other than 100.
    #[error("read MessagePack: values lie more than 100 deep in each other at byte {at}")]
    Depth {
        /// Where.
        at: usize,
    },
    /// Bytes follow the value.
    #[error("read MessagePack: the value ends at byte {at} of {len}")]
    Rest {
        /// Where it ends.
        at: usize,
        /// How many bytes there are.
        len: usize,
    },
}

const MAX_DEPTH: usize = 100;

/// Reads one value. No bytes at all are null, as a host leaves out what is empty. A repeated key takes
/// the last value; a text that is no UTF-8, and an extension, is bytes.
///
/// # Errors
/// [`DecodeError`], which names the place.
pub fn decode(bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let mut input = Input { bytes, at: 0 };
    let value = input.value(0)?;
    let (at, len) = (input.at, bytes.len());
    if at < len {
        return Err(DecodeError::Rest { at, len });
    }
    Ok(value)
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize, begin: usize) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(DecodeError::CutOff { at: begin })?;
        self.at += count;
        Ok(taken)
    }

    /// Reads a number of so many bytes, the highest first.
    fn unsigned(&mut self, count: usize, begin: usize) -> Result<u64, DecodeError> {
        let bytes = self.take(count, begin)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    }

    fn signed(&mut self, count: usize, begin: usize) -> Result<Value, DecodeError> {
        let unused = 64 - 8 * u32::try_from(count).expect("at most 8");
        let bits = self.unsigned(count, begin)? << unused;
        Ok(Value::Number(Number::Int(bits.cast_signed() >> unused)))
    }

    fn length(&mut self, count: usize, begin: usize) -> Result<usize, DecodeError> {
        let length = self.unsigned(count, begin)?;
        usize::try_from(length).map_err(|_| DecodeError::CutOff { at: begin })
    }

    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        let at = self.at;
        if depth > MAX_DEPTH {
            return Err(DecodeError::Depth { at });
        }
        let tag = self.take(1, at)?[0];
        Ok(match tag {
            0x00..=0x7f => Value::Number(Number::Int(tag.into())),
            0x80..=0x8f => self.map(usize::from(tag & 0x0f), depth)?,
            0x90..=0x9f => self.list(usize::from(tag & 0x0f), depth)?,
            0xa0..=0xbf => self.text(usize::from(tag & 0x1f), at)?,
            0xc0 => Value::Null,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(1 << (tag - 0xc4), at)?;
                Value::Bytes(self.take(length, at)?.to_vec())
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (tag - 0xc7), at)?;
                self.extension(length, at)?
            }
            0xca => {
                let bits = u32::try_from(self.unsigned(4, at)?).expect("four bytes");
                float(f32::from_bits(bits).into())
            }
            0xcb => float(f64::from_bits(self.unsigned(8, at)?)),
            0xcc..=0xcf => {
                let number = self.unsigned(1 << (tag - 0xcc), at)?;
                let number = Number::parse(&number.to_string()).expect("a number in digits");
                Value::Number(number)
            }
            0xd0..=0xd3 => self.signed(1 << (tag - 0xd0), at)?,
            0xd4..=0xd8 => self.extension(1 << (tag - 0xd4), at)?,
            0xd9..=0xdb => {
                let length = self.length(1 << (tag - 0xd9), at)?;
                self.text(length, at)?
            }
            0xdc | 0xdd => {
                let count = self.length(2 << (tag - 0xdc), at)?;
                self.list(count, depth)?
            }
            0xde | 0xdf => {
                let count = self.length(2 << (tag - 0xde), at)?;
                self.map(count, depth)?
            }
            0xe0..=0xff => Value::Number(Number::Int(tag.cast_signed().into())),
            0xc1 => return Err(DecodeError::Tag { tag, at }),
        })
    }

    fn text(&mut self, length: usize, begin: usize) -> Result<Value, DecodeError> {
        let bytes = self.take(length, begin)?.to_vec();
        Ok(String::from_utf8(bytes).map_or_else(|no| Value::Bytes(no.into_bytes()), Value::Text))
    }

    /// The kind of an extension is dropped.
    fn extension(&mut self, length: usize, begin: usize) -> Result<Value, DecodeError> {
        self.take(1, begin)?;
        Ok(Value::Bytes(self.take(length, begin)?.to_vec()))
    }

    fn list(&mut self, count: usize, depth: usize) -> Result<Value, DecodeError> {
        // Nothing is reserved for a count that the bytes need not keep.
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(self.value(depth + 1)?);
        }
        Ok(Value::List(list))
    }

    fn map(&mut self, count: usize, depth: usize) -> Result<Value, DecodeError> {
        let mut keys = BTreeMap::new();
        for _ in 0..count {
            let at = self.at;
            let key = match self.value(depth + 1)? {
                Value::Text(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                other @ (Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_)) => {
                    let found = other.described();
                    return Err(DecodeError::Key { at, found });
                }
            };
            keys.insert(key, self.value(depth + 1)?);
        }
        Ok(Value::Map(keys))
    }
}

fn float(float: f64) -> Value {
    // A double that is a whole number is an int, however it was written; NaN and the like stay.
    match Number::parse(&float.to_string()) {
        Some(int @ Number::Int(_)) => Value::Number(int),
        Some(Number::Float(_) | Number::Decimal(_)) | None => Value::Number(Number::Float(float)),
    }
}

#[cfg(test)]
#[path = "msgpack_tests.rs"]
mod tests;
