//! What a program that was built without TLS says to a host that asks for it.

use crate::serving::{failure, plugin};
use crate::stage::{Stage, trials};

trials![a_host_that_asks_for_encryption_is_told_why_not];

async fn a_host_that_asks_for_encryption_is_told_why_not() {
    let stage = Stage::new();
    assert_eq!(
        failure(plugin(&stage).env("PLUGIN_CLIENT_CERT", "-----BEGIN CERTIFICATE-----")),
        "[ERROR] failed to encrypt calls, as PLUGIN_CLIENT_CERT asks for: \
         this program was built without TLS\n"
    );
    assert_eq!(stage.files(), [""; 0]);
}
