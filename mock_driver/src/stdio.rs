//! The driver that is spoken to: many tasks, told over stdin what to do, one JSON object a line: an
//! edge.
//!
//! Each task has a process of its own, its executor, which forwards its output and waits for it. So
//! the driver may go away: the executor holds the read ends of the task's pipes and forwards on, and
//! writes the status into a file in the end. The next driver finds it by its process number and the
//! time of its beginning. docs/adapters.md says what goes over the lines.

mod tasks;

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use self::tasks::{Failed, Tasks};
use crate::executor::RecoveryFault;
use crate::reexec::Reexec;

/// The arguments of `stdio`.
#[derive(Debug, clap::Args)]
pub(crate) struct StdioArgs {
    /// Be faulty in this way when tasks are taken over; `mock_driver faults` lists them.
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    fault: Option<RecoveryFault>,
}

/// What the driver declares.
const CAPABILITIES: &[&str] = &[
    "forwards",
    "signals",
    "multi-writer",
    "no-log-collection",
    "checks-paths",
    "payload.exec",
    "recover",
    "contains",
];

/// Answers requests until stdin ends or a `detach` comes, and gives the status to exit with.
pub(crate) fn stdio(args: &StdioArgs, reexec: &Reexec) -> Result<u8> {
    let mut tasks = Tasks::new(reexec.clone(), args.fault);
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read a request")?;
        let mut request: Map<String, Value> =
            serde_json::from_str(&line).with_context(|| format!("no request: {line}"))?;
        let seq = request.remove("seq").unwrap_or(Value::Null);
        let op = match request.remove("op") {
            Some(Value::String(op)) => op,
            Some(_) | None => String::new(),
        };
        match op.as_str() {
            "hello" => answer(&seq, Ok(greeting())),
            "start" => answer(&seq, tasks.start(&request)),
            "wait" => tasks.wait(&request, seq),
            "stop" => tasks.stop(&request, seq),
            "signal" => answer(&seq, tasks.signal(&request)),
            "destroy" => answer(&seq, tasks.destroy(&request)),
            "recover" => answer(&seq, tasks.recover(&request)),
            "detach" => {
                answer(&seq, tasks.handles());
                return Ok(0);
            }
            _ => answer(&seq, Ok(json!({ "unsupported": true }))),
        }
    }
    tasks.destroy_all();
    Ok(0)
}

fn greeting() -> Value {
    json!({
        "driver": "mock-driver",
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": CAPABILITIES,
    })
}

/// Writes one line.
fn answer(seq: &Value, fields: Result<Value, Failed>) {
    let mut fields = fields.unwrap_or_else(|Failed(why)| json!({ "error": why }));
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("seq".into(), seq.clone());
    }
    let mut out = std::io::stdout().lock();
    // Nobody listens any more if it fails; then stdin ends too.
    writeln!(out, "{fields}").and_then(|()| out.flush()).ok();
}
