//! Who a plugin is, its schema, and its configuration.

use plugin::proto::base::{
    ConfigSchemaResponse, NomadConfig, NomadDriverConfig, PluginInfoResponse, PluginType,
    SetConfigRequest,
};
use plugin::spec::{Blocks, Literal, Spec, Type};

use super::walk::{Is, has, message, text, varint};

#[test]
fn who_it_is_and_how_it_is_configured() {
    let info = PluginInfoResponse {
        r#type: PluginType::Driver.into(),
        plugin_api_versions: vec!["v0.1.0".to_owned()],
        plugin_version: "1.0.0".to_owned(),
        name: "n".to_owned(),
    };
    has(
        &info,
        [
            (1, varint(2)),
            (2, text("v0.1.0")),
            (3, text("1.0.0")),
            (4, text("n")),
        ],
    );
    assert_eq!(i32::from(PluginType::Device), 3);
    let driver = NomadDriverConfig {
        client_max_port: 14512,
        client_min_port: 14000,
    };
    let config = SetConfigRequest {
        msgpack_config: vec![0x80],
        nomad_config: Some(NomadConfig {
            driver: Some(driver),
        }),
        plugin_api_version: "v0.1.0".to_owned(),
    };
    let driver = message([(1, varint(14512)), (2, varint(14000))]);
    let nomad = message([(1, driver)]);
    has(
        &config,
        [(1, Is::Bytes(vec![0x80])), (2, nomad), (3, text("v0.1.0"))],
    );
}

/// The fields of a node, in an answer.
fn node<const N: usize>(spec: &Spec, number: u32, fields: [(u32, Is); N]) {
    let answer = ConfigSchemaResponse {
        spec: Some(spec.to_proto()),
    };
    has(&answer, [(1, message([(number, message(fields))]))]);
}

fn blocks() -> Blocks {
    Blocks {
        name: "b".to_owned(),
        min: 1,
        max: 2,
        nested: Box::new(inner()),
    }
}

fn inner() -> Spec {
    Spec::Literal(Literal::from(true))
}

fn inner_message() -> Is {
    message([(10, message([(1, text("true"))]))])
}

#[test]
fn each_node_of_a_schema() {
    let name = || "b".to_owned();
    let pair = message([(1, text("k")), (2, inner_message())]);
    node(&Spec::object([("k", inner())]), 1, [(1, pair)]);
    node(
        &Spec::Array(vec![inner(), inner()]),
        2,
        [(1, inner_message()), (1, inner_message())],
    );
    let attr = [(1, text("b")), (2, text("string")), (3, varint(1))];
    node(&Spec::required("b", Type::String), 3, attr);
    let block = Spec::Block {
        name: name(),
        required: true,
        nested: Box::new(inner()),
    };
    node(
        &block,
        4,
        [(1, text("b")), (2, varint(1)), (3, inner_message())],
    );
    let attrs = Spec::BlockAttrs {
        name: name(),
        kind: Type::Number,
        required: true,
    };
    node(
        &attrs,
        5,
        [(1, text("b")), (2, text("number")), (3, varint(1))],
    );
    let fields = || {
        [
            (1, text("b")),
            (2, varint(1)),
            (3, varint(2)),
            (4, inner_message()),
        ]
    };
    node(&Spec::BlockList(blocks()), 6, fields());
    node(&Spec::BlockSet(blocks()), 7, fields());
    let map = Spec::BlockMap {
        name: name(),
        labels: vec!["l".to_owned()],
        nested: Box::new(inner()),
    };
    node(
        &map,
        8,
        [(1, text("b")), (2, text("l")), (3, inner_message())],
    );
    let default = inner().or("5s".into());
    let text_5s = message([(10, message([(1, text("\"5s\""))]))]);
    node(&default, 9, [(1, inner_message()), (2, text_5s)]);
}
