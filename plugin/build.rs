//! Turns the descriptions in `proto/` into Rust, without protoc: protox reads them.

use std::path::PathBuf;
use std::{env, error, fs};

use prost::Message;

const FILES: [&str; 7] = [
    "base.proto",
    "driver.proto",
    "go_plugin.proto",
    "hclspec.proto",
    "logmon.proto",
    "shared.proto",
    "status.proto",
];

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let folder = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["proto"])?;
    fs::write(folder.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    // The same message gives the same bytes, whatever order its map was filled in.
    config.btree_map(["."]).include_file("services.rs");
    tonic_prost_build::configure()
        .build_transport(false)
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
