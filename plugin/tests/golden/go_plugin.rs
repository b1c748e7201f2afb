//! What every plugin has, and the log collector.

use plugin::proto::go_plugin::conn_info::Knock;
use plugin::proto::go_plugin::stdio_data::Channel;
use plugin::proto::go_plugin::{ConnInfo, Empty, StdioData};
use plugin::proto::logmon::{StartRequest, StartResponse, StopRequest, StopResponse};

use super::walk::{Is, has, message, text, varint};

#[test]
fn output_and_the_broker() {
    for (channel, number) in [(Channel::Stdout, 1), (Channel::Stderr, 2)] {
        let data = StdioData {
            channel: channel.into(),
            data: b"x".to_vec(),
        };
        has(&data, [(1, varint(number)), (2, Is::Bytes(b"x".to_vec()))]);
    }
    let knock = Knock {
        knock: true,
        ack: true,
        error: "e".to_owned(),
    };
    let info = ConnInfo {
        service_id: 7,
        network: "unix".to_owned(),
        address: "/s".to_owned(),
        knock: Some(knock),
    };
    let knock = message([(1, varint(1)), (2, varint(1)), (3, text("e"))]);
    has(
        &info,
        [
            (1, varint(7)),
            (2, text("unix")),
            (3, text("/s")),
            (4, knock),
        ],
    );
    has(&Empty {}, []);
}

#[test]
fn the_log_collector() {
    let start = StartRequest {
        log_dir: "/logs".to_owned(),
        stdout_file_name: "web.stdout".to_owned(),
        stderr_file_name: "web.stderr".to_owned(),
        max_files: 10,
        max_file_size_mb: 300,
        stdout_fifo: "/out".to_owned(),
        stderr_fifo: "/err".to_owned(),
    };
    has(
        &start,
        [
            (1, text("/logs")),
            (2, text("web.stdout")),
            (3, text("web.stderr")),
            (4, varint(10)),
            (5, varint(300)),
            (6, text("/out")),
            (7, text("/err")),
        ],
    );
    has(&StartResponse {}, []);
    has(&StopRequest {}, []);
    has(&StopResponse {}, []);
}
