//! A whole session between our host and our plugins, message by message, held against what was recorded in
//! `transcripts/`: a file for each call. The fields there were compared with those of Nomad by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fifo::Reader;
use plugin::host::{Launch, Plugin};
use plugin::msgpack;
use plugin::proto::base::SetConfigRequest;
use plugin::proto::driver::exec_task_streaming_request::Setup;
use plugin::proto::driver::{
    AllocatedCpuResources, AllocatedMemoryResources, AllocatedTaskResources, ExecTaskStreamingIo,
    ExecTaskStreamingRequest, Resources, TaskConfig,
};
use plugin::proto::logmon::StartRequest;
use plugin::spec::Spec;
use plugin::value::Value;
use serde_json::json;
use tempfile::{TempDir, tempdir};

use crate::program::path;
use crate::wire;

const LIMIT: Duration = Duration::from_secs(20);
const ID: &str = "0a1b2c3d/task/00000001";

/// What was said in each call, in the order in which the calls were first made.
#[derive(Default)]
struct Session(Mutex<Vec<(String, bool, Vec<u8>)>>);

impl Session {
    async fn launch(self: &Arc<Self>, folder: &TempDir, arguments: &[&str]) -> Plugin {
        let session = Arc::clone(self);
        let launch = Launch::new(path())
            .arguments(arguments)
            .variable("TMPDIR", folder.path())
            .tap(move |tapped| {
                let mut all = session.0.lock().unwrap_or_else(PoisonError::into_inner);
                all.push((
                    tapped.path.to_owned(),
                    tapped.is_answer,
                    tapped.message.to_vec(),
                ));
            });
        launch.start().await.unwrap()
    }

    /// The transcript of each call, by its path.
    fn transcripts(&self, folder: &Path) -> BTreeMap<String, String> {
        let folder = folder.display().to_string();
        let mut calls = BTreeMap::<String, Vec<(bool, String)>>::new();
        for (path, is_answer, message) in &*self.0.lock().unwrap() {
            let method = path.rsplit('/').next().unwrap();
            // How much of what is printed comes at once is chance, and so is whether an answer comes before the end.
            if method == "StreamStdio" || method == "Shutdown" && *is_answer {
                continue;
            }
            let text = wire::text(message, &|way| varies(method, *is_answer, way));
            let said = (*is_answer, text.replace(&folder, "FOLDER"));
            let all = calls.entry(path.clone()).or_default();
            // What comes again and again is written down once.
            if !all.contains(&said) {
                all.push(said);
            }
            if method == "ExecTaskStreaming" {
                all.sort(); // Whoever is faster.
            }
        }
        let told = |all: Vec<(bool, String)>| -> String {
            let side = |is_answer| if is_answer { "plugin" } else { "host" };
            all.into_iter()
                .map(|(is_answer, text)| format!("{}\n{text}", side(is_answer)))
                .collect()
        };
        calls
            .into_iter()
            .map(|(path, all)| (path, told(all)))
            .collect()
    }
}

/// What is another number, or another text, each time.
fn varies(method: &str, is_answer: bool, way: &[u64]) -> bool {
    matches!(
        (method, is_answer, way),
        ("PluginInfo", true, [3])
            | ("Fingerprint", true, [1])
            // The driver's own state, which is for nobody else; a host hands it back.
            | ("StartTask", true, [3, 4])
            | ("RecoverTask", false, [2, 4])
            | ("InspectTask", true, [1, 4 | 5, _] | [2])
            | ("TaskStats", true, [1, 2, _] | [1, 3, 1 | 2] | [1, 4])
            | ("TaskEvents", true, [4, _] | [6, 2])
    )
}

/// Compares, and says how to take over what is new.
fn hold_against_the_recorded(transcripts: &BTreeMap<String, String>, is_its_own: fn(&str) -> bool) {
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/transcripts");
    let takes_over = std::env::var_os("TAKE_TRANSCRIPTS").is_some();
    let mut wrong = Vec::new();
    let name = |path: &str| format!("{}.txt", path.trim_start_matches('/').replace('/', "."));
    let said: BTreeSet<String> = transcripts.keys().map(|path| name(path)).collect();
    for entry in fs::read_dir(&recorded).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if is_its_own(&name) && !said.contains(&name) {
            wrong.push(format!(
                "{name} is recorded, and the call is not made any more"
            ));
        }
    }
    for (path, text) in transcripts {
        let file = recorded.join(name(path));
        let text = format!("{path}\n{text}");
        if takes_over {
            fs::write(&file, &text).unwrap();
        }
        let before = fs::read_to_string(&file).unwrap_or_default();
        if before != text {
            wrong.push(format!(
                "{}\nrecorded\n{before}\nnow\n{text}",
                file.display()
            ));
        }
        assert!(text.lines().count() <= 60, "more than a screen: {text}");
    }
    assert!(
        wrong.is_empty(),
        "{}\nTAKE_TRANSCRIPTS=1 writes these down; read what changes",
        wrong.join("\n")
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn encoded(spec: &Spec, value: &serde_json::Value) -> Vec<u8> {
    msgpack::encode(&spec.check(&Value::from_json(value)).unwrap())
}

/// A task that waits to be stopped.
fn task(folder: &Path, config: Vec<u8>) -> TaskConfig {
    let stream = |name: &str| {
        let path = folder.join(name);
        fifo::create(&path, 0o600).unwrap();
        path.display().to_string()
    };
    TaskConfig {
        id: ID.into(),
        name: "task".into(),
        msgpack_driver_config: config,
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        resources: Some(Resources {
            allocated_resources: Some(AllocatedTaskResources {
                cpu: Some(AllocatedCpuResources { cpu_shares: 100 }),
                memory: Some(AllocatedMemoryResources {
                    memory_mb: 64,
                    ..AllocatedMemoryResources::default()
                }),
                ..AllocatedTaskResources::default()
            }),
            ..Resources::default()
        }),
        alloc_dir: folder.display().to_string(),
        stdout_path: stream("stdout.fifo"),
        stderr_path: stream("stderr.fifo"),
        job_name: "job".into(),
        alloc_id: "0a1b2c3d".into(),
        ..TaskConfig::default()
    }
}

#[test]
fn a_session_with_a_driver_is_as_it_was_recorded() {
    let folder = tempdir().unwrap();
    let session = Arc::new(Session::default());
    runtime().block_on(converse(&session, &folder));
    let transcripts = session.transcripts(folder.path());
    hold_against_the_recorded(&transcripts, |name| !name.contains("LogMon"));
}

async fn converse(session: &Arc<Session>, folder: &TempDir) {
    let arguments = ["mock-driver", "plugin"];
    let first = session.launch(folder, &arguments).await;
    first.ping().await.unwrap();
    let base = first.base();
    base.plugin_info().await.unwrap();
    let schema = base.config_schema().await.unwrap().unwrap();
    let spec = Spec::from_proto(&schema).unwrap();
    base.set_config(SetConfigRequest {
        msgpack_config: encoded(&spec, &json!({})),
        nomad_config: None,
        plugin_api_version: "v0.1.0".into(),
    })
    .await
    .unwrap();
    let driver = first.driver();
    driver.fingerprint().next(LIMIT).await.unwrap().unwrap();
    let mut events = driver.task_events();
    driver.capabilities().await.unwrap();
    let spec = Spec::from_proto(&driver.task_config_schema().await.unwrap()).unwrap();
    let config = json!({"command": "/bin/sleep", "args": ["1000"]});
    fs::create_dir(folder.path().join("task")).unwrap();
    let task = task(folder.path(), encoded(&spec, &config));
    // A command is started when somebody reads.
    let _readers = [&task.stdout_path, &task.stderr_path].map(|path| Reader::open(path).unwrap());
    let started = driver.start_task(task).await.unwrap();
    events.next(LIMIT).await.unwrap().unwrap();
    driver.inspect_task(ID).await.unwrap();
    let mut stats = driver.task_stats(ID, Duration::from_secs(1));
    stats.next(LIMIT).await.unwrap().unwrap();
    drop(stats);
    let echo = ["/bin/echo", "hello"].map(str::to_owned).to_vec();
    driver.exec_task(ID, echo, LIMIT).await.unwrap();
    stream(&driver).await;
    assert!(first.end().await.is_ok());
    let second = session.launch(folder, &arguments).await;
    let driver = second.driver();
    driver.recover_task(started.handle).await.unwrap();
    driver.signal_task(ID, "SIGCONT").await.unwrap();
    let waiting = driver.clone();
    let waited = tokio::spawn(async move { waiting.wait_task(ID, LIMIT).await });
    driver.stop_task(ID, LIMIT, "SIGTERM").await.unwrap();
    let ended = waited.await.unwrap().unwrap();
    assert_eq!(ended.result.unwrap().signal, 15);
    driver.destroy_task(ID).await.unwrap();
    let unknown = driver.inspect_task(ID).await.unwrap_err();
    assert!(unknown.to_string().contains("task not found"), "{unknown}");
    assert!(second.end().await.is_ok());
}

/// A command within the task that says what it hears.
async fn stream(driver: &plugin::host::Driver) {
    let mut exec = driver.exec_task_streaming(Setup {
        task_id: ID.into(),
        command: vec!["/bin/cat".into()],
        tty: false,
    });
    for (data, close) in [(b"hello\n".to_vec(), false), (Vec::new(), true)] {
        let stdin = Some(ExecTaskStreamingIo { data, close });
        let message = ExecTaskStreamingRequest {
            stdin,
            ..ExecTaskStreamingRequest::default()
        };
        exec.input.send(message).await.unwrap();
    }
    while exec.output.next(LIMIT).await.unwrap().is_some() {}
}

#[test]
fn a_session_with_a_log_collector_is_as_it_was_recorded() {
    let folder = tempdir().unwrap();
    let path = |name: &str| -> String {
        let path: PathBuf = folder.path().join(name);
        path.display().to_string()
    };
    let session = Arc::new(Session::default());
    runtime().block_on(async {
        let plugin = session.launch(&folder, &["logmon", "plugin"]).await;
        let log_mon = plugin.log_mon();
        let request = StartRequest {
            log_dir: folder.path().display().to_string(),
            stdout_file_name: "task.stdout".into(),
            stderr_file_name: "task.stderr".into(),
            max_files: 10,
            max_file_size_mb: 1,
            stdout_fifo: path(".task.stdout.fifo"),
            stderr_fifo: path(".task.stderr.fifo"),
        };
        log_mon.start(request).await.unwrap();
        log_mon.stop().await.unwrap();
        assert!(plugin.end().await.is_ok());
    });
    let transcripts = session.transcripts(folder.path());
    hold_against_the_recorded(&transcripts, |name| name.contains("LogMon"));
}
