//! Tests of MessagePack: fixed bytes, the border of each form, and the laws of writing and reading.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn int(int: i64) -> Value {
    Value::Number(Number::Int(int))
}

fn number(text: &str) -> Value {
    Value::Number(Number::parse(text).unwrap())
}

#[test]
fn a_configuration_with_nothing_set_is_its_keys_in_byte_order_with_nil() {
    let value = Value::from_json(&json!({
        "enabled": true, "denied_host_uids": null, "denied_envvars": null, "denied_host_gids": null,
    }));
    let mut expected = vec![0x84];
    for (key, byte) in [
        ("denied_envvars", 0xc0),
        ("denied_host_gids", 0xc0),
        ("denied_host_uids", 0xc0),
        ("enabled", 0xc3),
    ] {
        expected.push(0xa0 | u8::try_from(key.len()).unwrap());
        expected.extend(key.as_bytes());
        expected.push(byte);
    }
    assert_eq!(encode(&value), expected);
}

#[test]
fn a_task_with_a_command_has_the_bytes_that_were_recorded() {
    let value =
        Value::from_json(&json!({"args": ["-c", "true"], "command": "/bin/sh", "oom": null}));
    assert_eq!(
        encode(&value),
        b"\x83\xa4args\x92\xa2-c\xa4true\xa7command\xa7/bin/sh\xa3oom\xc0"
    );
}

#[test]
fn numbers_have_the_shortest_form_and_no_double_that_is_not_exact() {
    let cases: [(&str, &[u8]); 24] = [
        ("0", &[0x00]),
        ("127", &[0x7f]),
        ("128", &[0xcc, 0x80]),
        ("255", &[0xcc, 0xff]),
        ("256", &[0xcd, 1, 0]),
        ("65535", &[0xcd, 0xff, 0xff]),
        ("65536", &[0xce, 0, 1, 0, 0]),
        ("4294967295", &[0xce, 0xff, 0xff, 0xff, 0xff]),
        ("4294967296", &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        (
            "9223372036854775807",
            &[0xcf, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("-1", &[0xff]),
        ("-32", &[0xe0]),
        ("-33", &[0xd0, 0xdf]),
        ("-128", &[0xd0, 0x80]),
        ("-129", &[0xd1, 0xff, 0x7f]),
        ("-32768", &[0xd1, 0x80, 0]),
        ("-32769", &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
        ("-2147483648", &[0xd2, 0x80, 0, 0, 0]),
        (
            "-2147483649",
            &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
        ),
        ("0.5", &[0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]),
        ("0.1", b"\xa30.1"),
        ("1e3", &[0xcd, 0x03, 0xe8]),
        ("18446744073709551615", b"\xb418446744073709551615"),
        (
            "18446744073709551616",
            &[0xcb, 0x43, 0xf0, 0, 0, 0, 0, 0, 0],
        ),
    ];
    for (text, bytes) in cases {
        assert_eq!(encode(&number(text)), bytes, "{text}");
    }
}

#[test]
fn lengths_have_the_shortest_form() {
    let start = |value: &Value| encode(value)[..4].to_vec();
    let text = |n: usize| Value::Text("x".repeat(n));
    assert_eq!(start(&text(31))[..1], [0xbf]);
    assert_eq!(start(&text(32))[..2], [0xd9, 32]);
    assert_eq!(start(&text(255))[..2], [0xd9, 255]);
    assert_eq!(start(&text(256))[..3], [0xda, 1, 0]);
    assert_eq!(encode(&text(65536))[..5], [0xdb, 0, 1, 0, 0]);
    let list = |n: usize| Value::List(vec![Value::Null; n]);
    assert_eq!(start(&list(15))[..1], [0x9f]);
    assert_eq!(start(&list(16))[..3], [0xdc, 0, 16]);
    let map = |n: i64| Value::Map((0..n).map(|i| (i.to_string(), Value::Null)).collect());
    assert_eq!(start(&map(15))[..1], [0x8f]);
    assert_eq!(start(&map(16))[..3], [0xde, 0, 16]);
    assert_eq!(start(&Value::Bytes(vec![0; 9]))[..2], [0xc4, 9]);
}

#[test]
fn every_form_can_be_read() {
    let cases: [(&[u8], Value); 14] = [
        (b"", Value::Null),
        (b"\xda\x00\x02hi", Value::Text("hi".to_owned())),
        (b"\xdb\x00\x00\x00\x02hi", Value::Text("hi".to_owned())),
        (b"\xa1\xff", Value::Bytes(vec![0xff])),
        (b"\xc5\x00\x01z", Value::Bytes(b"z".to_vec())),
        (b"\xd4\x05z", Value::Bytes(b"z".to_vec())),
        (b"\xc7\x02\x05zz", Value::Bytes(b"zz".to_vec())),
        (b"\xca\x3f\x00\x00\x00", number("0.5")),
        (b"\xcb\x40\x00\x00\x00\x00\x00\x00\x00", int(2)),
        (b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", int(-1)),
        (
            b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
            number("18446744073709551615"),
        ),
        (b"\xdc\x00\x01\xc3", Value::List(vec![Value::Bool(true)])),
        (
            b"\x81\x01\xc2",
            Value::Map([("1".to_owned(), Value::Bool(false))].into()),
        ),
        (b"\xdf\x00\x00\x00\x00", Value::Map(BTreeMap::new())),
    ];
    for (bytes, value) in cases {
        assert_eq!(decode(bytes), Ok(value), "{bytes:x?}");
    }
}

#[test]
fn an_error_names_the_place() {
    let cases: [(&[u8], &str); 6] = [
        (
            b"\x92\xc0",
            "read MessagePack: it ends within the value that begins at byte 2",
        ),
        (
            b"\x91\xa3ab",
            "read MessagePack: it ends within the value that begins at byte 1",
        ),
        (
            b"\xdd\xff\xff\xff\xff",
            "read MessagePack: it ends within the value that begins at byte 5",
        ),
        (
            b"\x91\xc1",
            "read MessagePack: there is no tag 0xc1, as at byte 1",
        ),
        (
            b"\x81\x90\xc0",
            "read MessagePack: the key at byte 1 is a list of 0, a string is expected",
        ),
        (
            b"\xc0\xc0",
            "read MessagePack: the value ends at byte 1 of 2",
        ),
    ];
    for (bytes, message) in cases {
        assert_eq!(decode(bytes).unwrap_err().to_string(), message);
    }
    let deep = decode(&[0x91; 5000]);
    assert_eq!(deep, Err(DecodeError::Depth { at: 101 }));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(int),
        (any::<i16>(), 1..12_u32).prop_map(|(n, bits)| {
            number(&(f64::from(n) / f64::from(1_u32 << bits)).to_string())
        }),
        ".{0,300}".prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
            proptest::collection::btree_map(".{0,40}", inner, 0..20).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(value in any_value()) {
        prop_assert_eq!(decode(&encode(&value)), Ok(value));
    }

    #[test]
    fn what_is_cut_off_is_an_error(value in any_value(), cut in any::<proptest::sample::Index>()) {
        let bytes = encode(&value);
        let cut = cut.index(bytes.len());
        prop_assert!(cut == 0 || decode(&bytes[..cut]).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_fail_otherwise_than_with_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        drop(decode(&bytes));
    }
}
