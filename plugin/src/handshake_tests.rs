//! Tests of the handshake: fixed lines, each way that one can be wrong, and the law that what is
//! formatted can be parsed.

use proptest::prelude::*;

use super::*;

const LINE: &str = "1|2|unix|/tmp/plugin3141592653|grpc|\n";

fn parse(text: &str) -> Result<Line, LineError> {
    Line::parse(text.as_bytes())
}

fn unix(path: &str) -> Line {
    Line {
        app_version: 2,
        address: Address::Unix(path.into()),
        server_cert: None,
        multiplexes: None,
    }
}

#[test]
fn the_line_has_an_empty_sixth_field_and_no_seventh() {
    assert_eq!(unix("/tmp/plugin3141592653").format(), LINE);
    assert_eq!(parse(LINE), Ok(unix("/tmp/plugin3141592653")));
}

#[test]
fn a_seventh_field_answers_who_asked() {
    let mut line = unix("/tmp/plugin1");
    line.multiplexes = Some(false);
    assert_eq!(line.format(), "1|2|unix|/tmp/plugin1|grpc||false\n");
    assert_eq!(parse(&line.format()), Ok(line));
    for (word, expected) in [
        ("1", Some(true)),
        ("T", Some(true)),
        ("False", Some(false)),
        ("0", Some(false)),
        // Nobody has asked.
        ("tRUE", None),
        ("", None),
        ("maybe|more", None),
    ] {
        let line = parse(&format!("1|2|unix|/s|grpc||{word}")).unwrap();
        assert_eq!(line.multiplexes, expected, "{word}");
    }
}

#[test]
fn five_fields_are_enough_and_a_short_sixth_is_no_certificate() {
    assert_eq!(parse("1|2|unix|/s|grpc"), Ok(unix("/s")));
    assert_eq!(parse("1|2|unix|/s|grpc|abc"), Ok(unix("/s")));
    let cert = "A".repeat(51);
    let line = parse(&format!("1|2|unix|/s|grpc|{cert}")).unwrap();
    assert_eq!(line.server_cert, Some(cert));
    let tcp = parse("1|2|tcp|127.0.0.1:10001|grpc|").unwrap();
    assert_eq!(tcp.address, Address::Tcp("127.0.0.1:10001".to_owned()));
}

#[test]
fn the_socket_is_found_whatever_else_is_wrong() {
    for line in [
        LINE,
        "7|1|unix|/s|netrpc",
        "|x|unix|/s",
        "1|2|unix|/s||||\n",
    ] {
        let path = Line::socket(line.as_bytes()).unwrap();
        assert!(["/tmp/plugin3141592653", "/s"].contains(&path.to_str().unwrap()));
    }
    for line in ["", "1|2|unix", "1|2|unix||grpc|", "1|2|tcp|/s|grpc|"] {
        assert_eq!(Line::socket(line.as_bytes()), None, "{line}");
    }
    assert_eq!(Line::socket(b"1|2|unix|/\xff|grpc|"), None);
}

#[test]
fn each_way_to_be_wrong_says_what_stood_there() {
    let cases = [
        ("", "find a handshake in an empty line"),
        ("\n", "find a handshake in an empty line"),
        (
            "hello\n",
            r#"find the four first fields of a handshake, there are 1: "hello""#,
        ),
        (
            "7|2|unix|/s|grpc|",
            r#"understand version "7" of the handshake, only 1 is known: "7|2|unix|/s|grpc|""#,
        ),
        (
            "1|1|unix|/s|grpc|",
            r#"use version "1" of the plugin's services, only 2 is known: "1|1|unix|/s|grpc|""#,
        ),
        (
            "1|2|udp|/s|grpc|",
            r#"reach a plugin over the network "udp", only "unix" and "tcp" are known: "1|2|udp|/s|grpc|""#,
        ),
        (
            "1|2|unix||grpc|",
            r#"find an address in the handshake: "1|2|unix||grpc|""#,
        ),
        (
            "1|2|unix|/s",
            r#"speak "netrpc" with the plugin, only "grpc" is known: "1|2|unix|/s""#,
        ),
        (
            "1|2|unix|/s|netrpc|",
            r#"speak "netrpc" with the plugin, only "grpc" is known: "1|2|unix|/s|netrpc|""#,
        ),
    ];
    for (line, message) in cases {
        assert_eq!(parse(line).unwrap_err().to_string(), message);
    }
    assert_eq!(
        Line::parse(b"1|2|unix|\xff|grpc|").unwrap_err(),
        LineError::NotText("\"1|2|unix|\u{fffd}|grpc|\"".to_owned())
    );
    let long = "1|2|unix|/".to_owned() + &"x".repeat(9000) + "|grpc|";
    let error = parse(&long).unwrap_err();
    assert!(matches!(error, LineError::TooLong(_)));
    assert!(error.to_string().len() < 250, "{error}");
}

fn invite(set: &[(&str, &str)]) -> Result<Invitation, NotInvited> {
    Invitation::read(|name| {
        set.iter()
            .find(|(one, _)| *one == name)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn what_the_host_sets_is_what_the_plugin_reads() {
    let set = environment();
    let set: Vec<_> = set.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let invitation = invite(&set).unwrap();
    assert_eq!(
        invitation,
        Invitation {
            versions: vec![2],
            asks_for_multiplexing: false,
            client_cert: None,
            ports: Some((10_000, 25_000)),
            socket_dir: "/tmp".into(),
        }
    );
    assert!(invitation.speaks(2) && !invitation.speaks(1));
}

#[test]
fn the_socket_goes_where_the_host_says_else_where_temporary_files_go() {
    let cookie = (COOKIE_NAME, COOKIE_VALUE);
    let dir = |set: &[(&str, &str)]| invite(set).unwrap().socket_dir;
    assert_eq!(dir(&[cookie, ("TMPDIR", "/t")]), PathBuf::from("/t"));
    assert_eq!(
        dir(&[cookie, ("TMPDIR", "/t"), (SOCKET_DIR, "/s")]),
        PathBuf::from("/s")
    );
    assert_eq!(dir(&[cookie, (SOCKET_DIR, "")]), PathBuf::from("/tmp"));
    assert!(invite(&[cookie]).unwrap().speaks(2), "nothing was said");
    assert!(
        invite(&[cookie, (MULTIPLEX_GRPC, "1")])
            .unwrap()
            .asks_for_multiplexing
    );
}

#[test]
fn who_was_not_invited_reads_three_lines() {
    assert_eq!(invite(&[]), Err(NotInvited::NoCookie));
    assert_eq!(
        invite(&[(COOKIE_NAME, "")]).unwrap_err().explanation(),
        "This program is a plugin: it is started by Nomad or by another host, not by hand.\n\
         It could not find NOMAD_PLUGIN_MAGIC_COOKIE in the environment.\n\
         To use it, name it in the configuration of the host.\n"
    );
    let wrong = invite(&[(COOKIE_NAME, "x\ny")]).unwrap_err();
    assert_eq!(wrong.explanation().lines().count(), 3, "{wrong}");
    let version = invite(&[(COOKIE_NAME, COOKIE_VALUE), (PROTOCOL_VERSIONS, "2,x")]);
    assert_eq!(
        version.unwrap_err().to_string(),
        "understand PLUGIN_PROTOCOL_VERSIONS=\"x\" in the environment: 2, or 1,2 is expected"
    );
    let port = invite(&[(COOKIE_NAME, COOKIE_VALUE), (MIN_PORT, "70000")]);
    assert!(matches!(
        port,
        Err(NotInvited::Variable { name: MIN_PORT, .. })
    ));
}

proptest! {
    #[test]
    fn what_is_formatted_can_be_parsed(
        path in "/[a-zA-Z0-9/_. -]{0,90}[a-z]",
        multiplexes in proptest::option::of(any::<bool>()),
        cert in proptest::option::of("[A-Za-z0-9+/]{51,600}"),
    ) {
        let mut line = unix(&path);
        line.multiplexes = multiplexes;
        line.server_cert = cert;
        prop_assert_eq!(parse(&line.format()), Ok(line));
    }

    #[test]
    fn no_bytes_make_the_parser_fail_otherwise_than_with_a_short_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..400)
    ) {
        if let Err(error) = Line::parse(&bytes) {
            let text = error.to_string();
            prop_assert!(text.chars().count() < 2500);
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
        }
    }
}
