//! Edge: what a plugin says, in the supervisor's own diagnostics.

use plugin::hclog::{Level, Record};
use plugin::host::Said;
use tracing::{debug, error, info, trace, warn};

/// Passes on what a plugin says, with the level that it gives it. What it prints is none of its diagnostics.
pub(super) fn hear(said: Said) {
    match said {
        Said::Log(record) => tell(&record),
        Said::Stray(bytes) | Said::Stdout(bytes) | Said::Stderr(bytes) => {
            debug!(printed = %String::from_utf8_lossy(&bytes).trim_end(), "the plugin");
        }
    }
}

fn tell(record: &Record) {
    let text = text(record);
    match record.level {
        Level::Trace => trace!("plugin: {text}"),
        Level::Debug => debug!("plugin: {text}"),
        Level::Info => info!("plugin: {text}"),
        Level::Warn => warn!("plugin: {text}"),
        Level::Error => error!("plugin: {text}"),
    }
}

/// The message, and behind it what else stood in the line.
fn text(record: &Record) -> String {
    let fields = record.fields.iter();
    let fields = fields.map(|(name, value)| format!(" {name}={value}"));
    record.message.clone() + &fields.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_fields_behind_the_message() {
        let line = br#"{"@level":"info","@message":"started","@module":"logmon","task":"web"}"#;
        let record = plugin::hclog::Reader::default().read(line);
        assert_eq!(text(&record), r#"started task="web""#);
    }
}
