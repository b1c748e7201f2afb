//! The bytes of the messages, field by field, as they were recorded between Nomad and its own plugins. They
//! are walked by a reader of protobuf that knows no message: prost would read back its own mistakes.

#![expect(clippy::unwrap_used, reason = "a test ends where it is surprised")]

mod golden {
    pub(crate) mod base;
    pub(crate) mod driver;
    pub(crate) mod go_plugin;
    pub(crate) mod walk;
}

use plugin::proto::DESCRIPTORS;
use prost::Message;

#[test]
fn services_and_calls_have_their_names() {
    let set = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let mut paths = Vec::new();
    for file in &set.file {
        for service in &file.service {
            for method in &service.method {
                let stream = |is| if is { "*" } else { "" };
                paths.push(format!(
                    "{}/{}.{}/{}{}",
                    stream(method.client_streaming()),
                    file.package(),
                    service.name(),
                    method.name(),
                    stream(method.server_streaming()),
                ));
            }
        }
    }
    paths.sort();
    let expected = [
        "*/hashicorp.nomad.plugins.drivers.proto.Driver/ExecTaskStreaming*",
        "*/plugin.GRPCBroker/StartStream*",
        "/hashicorp.nomad.client.logmon.proto.LogMon/Start",
        "/hashicorp.nomad.client.logmon.proto.LogMon/Stop",
        "/hashicorp.nomad.plugins.base.proto.BasePlugin/ConfigSchema",
        "/hashicorp.nomad.plugins.base.proto.BasePlugin/PluginInfo",
        "/hashicorp.nomad.plugins.base.proto.BasePlugin/SetConfig",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/Capabilities",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/DestroyTask",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/ExecTask",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/Fingerprint*",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/InspectTask",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/RecoverTask",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/SignalTask",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/StartTask",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/StopTask",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/TaskConfigSchema",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/TaskEvents*",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/TaskStats*",
        "/hashicorp.nomad.plugins.drivers.proto.Driver/WaitTask",
        "/plugin.GRPCController/Shutdown",
        "/plugin.GRPCStdio/StreamStdio*",
    ];
    assert_eq!(paths, expected);
}
