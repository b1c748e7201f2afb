//! A reader of protobuf that knows no message: fields with their numbers, and nothing else.

use prost::Message;

/// What a field is expected to hold.
#[derive(Debug)]
pub(crate) enum Is {
    Varint(u64),
    Double(f64),
    Bytes(Vec<u8>),
    Message(Vec<(u32, Is)>),
}

pub(crate) fn text(text: &str) -> Is {
    Is::Bytes(text.as_bytes().to_vec())
}

pub(crate) fn varint(int: i64) -> Is {
    Is::Varint(int.cast_unsigned())
}

pub(crate) fn message<const N: usize>(fields: [(u32, Is); N]) -> Is {
    Is::Message(fields.into())
}

/// A pair of a map with text on both sides.
pub(crate) fn pair(key: &str, value: &str) -> Is {
    message([(1, text(key)), (2, text(value))])
}

#[derive(Debug)]
enum Wire<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a varint has an end");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes");
}

fn fields(mut bytes: &[u8]) -> Vec<(u32, Wire<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes);
        let number = u32::try_from(key >> 3).unwrap();
        let wire = match key & 7 {
            0 => Wire::Varint(read_varint(&mut bytes)),
            1 => {
                let (fixed, rest) = bytes.split_first_chunk().expect("eight bytes");
                bytes = rest;
                Wire::Fixed64(*fixed)
            }
            2 => {
                let length = usize::try_from(read_varint(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Wire::Bytes(value)
            }
            kind => panic!("wire type {kind} of field {number}"),
        };
        fields.push((number, wire));
    }
    fields
}

fn compare(path: &str, bytes: &[u8], expected: &[(u32, Is)]) {
    let found = fields(bytes);
    let numbers: Vec<_> = found.iter().map(|(number, _)| *number).collect();
    let wanted: Vec<_> = expected.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, wanted, "the fields of {path}");
    for ((number, found), (_, expected)) in found.iter().zip(expected) {
        let path = format!("{path}.{number}");
        match (found, expected) {
            (Wire::Varint(found), Is::Varint(expected)) => assert_eq!(found, expected, "{path}"),
            (Wire::Fixed64(found), Is::Double(expected)) => {
                assert_eq!(*found, expected.to_le_bytes(), "{path}");
            }
            (Wire::Bytes(found), Is::Bytes(expected)) => assert_eq!(found, expected, "{path}"),
            (Wire::Bytes(found), Is::Message(expected)) => compare(&path, found, expected),
            _ => panic!("{path}: found {found:?}, expected {expected:?}"),
        }
    }
}

/// Holds the bytes of a message against its fields, in the order of their numbers.
pub(crate) fn has<const N: usize>(message: &impl Message, expected: [(u32, Is); N]) {
    compare("the message", &message.encode_to_vec(), &expected);
}
