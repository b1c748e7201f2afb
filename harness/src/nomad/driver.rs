//! A driver plugin as a driver that is spoken to: what docs/adapters.md asks on one side, Nomad's calls on the
//! other. (edge)
//!
//! It is a process of its own, so the suite waits for a plugin as it waits for every other driver. The plugin is
//! tied to it: when this process is killed, the kernel kills the plugin, and the tasks live on as after a crash
//! of a plugin. `detach` ends the plugin in order, as an agent does that stops; either way the next process
//! starts another plugin, and has it recover the tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use plugin::host::{Driver, Ended, Manner};
use plugin::proto::driver::TaskHandle;
use prost::Message;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::timeout;

use super::end::ended;
use super::loaded::{CALL, Failed, Loaded, Wanted};
use super::task::{Filling, Told, folders, task_config};
use crate::adapter::{Handle, PROTOCOL};
use crate::suite::error_chain;

/// How long all recoveries of a process may take together: longer than LIFE-9 allows, which the suite judges.
const RECOVER: Duration = Duration::from_secs(60);
/// A task may run for as long as the case does.
const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);

/// There is nobody to speak for.
#[derive(Debug, thiserror::Error)]
#[error("speak for a plugin")]
pub(crate) struct Mute(#[from] io::Error);

/// Answers what comes on standard input until that ends or a `detach` comes.
///
/// # Errors
/// [`Mute`]; nothing was started.
pub(crate) fn speak(wanted: Wanted) -> Result<(), Mute> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(converse(Arc::new(Bridge {
        wanted,
        state: Mutex::new(None),
        tasks: Mutex::default(),
        stopped: Mutex::default(),
        is_leaving: AtomicBool::new(false),
    })));
    Ok(())
}

struct Bridge {
    wanted: Wanted,
    state: Mutex<Option<Loaded>>,
    tasks: Mutex<BTreeMap<String, watch::Receiver<Task>>>,
    /// The tasks that were asked to stop.
    stopped: Mutex<BTreeSet<String>>,
    /// Whether a `detach` was read. What the end of the plugin does to other calls is no answer to them.
    is_leaving: AtomicBool,
}

/// How far a task is.
#[derive(Clone, Debug)]
enum Task {
    /// The plugin has not answered.
    Starts,
    /// What finds it again, with the id that the plugin knows it by.
    Runs(Box<TaskHandle>),
    /// It could not be started.
    Failed,
}

async fn converse(bridge: Arc<Bridge>) {
    let mut requests = lines();
    while let Some(line) = requests.recv().await {
        let Ok(mut request) = serde_json::from_str::<Map<String, Value>>(&line) else {
            eprintln!("harness: this is no request: {line}");
            break;
        };
        let seq = request.remove("seq").unwrap_or(Value::Null);
        let op = request
            .remove("op")
            .and_then(|op| op.as_str().map(str::to_owned));
        let op = op.unwrap_or_default();
        if op == "detach" {
            bridge.is_leaving.store(true, Ordering::Relaxed);
            let handles = bridge.handles().await;
            // The tasks live on; the plugin does not.
            bridge.end().await;
            return answer(&seq, handles);
        }
        if op == "hello" {
            // Nothing can be asked before.
            answer(&seq, bridge.hello(&request).await);
            continue;
        }
        // Known from here on: a stop may come before the plugin has answered.
        let starts = match request.get("id").and_then(Value::as_str) {
            Some(id) if op == "start" => Some(bridge.expect(id).await),
            Some(_) | None => None,
        };
        let bridge = Arc::clone(&bridge);
        // A plugin must not hold one call up for another.
        tokio::spawn(async move {
            let result = bridge.operation(&op, &request, starts).await;
            if !bridge.is_leaving.load(Ordering::Relaxed) {
                answer(&seq, result);
            }
        });
    }
    bridge.destroy_all().await;
    bridge.end().await;
}

/// The lines of standard input, read on a thread of their own: nothing else can wait for it.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn answer(seq: &Value, result: Result<Value, Failed>) {
    let mut fields = match result {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => Map::new(),
        Err(Failed(why)) => Map::from_iter([("error".to_owned(), why.into())]),
    };
    fields.insert("seq".to_owned(), seq.clone());
    let line = Value::Object(fields);
    let mut out = io::stdout().lock();
    // Nobody listens any more if it fails; then standard input ends too.
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

#[derive(Deserialize)]
struct Hello {
    protocol: u32,
}

#[derive(Deserialize)]
struct Start {
    id: String,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
    user: Option<String>,
    stdout: String,
    stderr: String,
    task_dir: PathBuf,
    log_dir: PathBuf,
}

#[derive(Deserialize)]
struct Stop {
    id: String,
    signal: String,
    timeout_ms: u64,
}

#[derive(Deserialize)]
struct Send {
    id: String,
    signal: String,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

#[derive(Deserialize)]
struct Recover {
    handles: Vec<Handle>,
}

fn read<'de, T: Deserialize<'de>>(request: &'de Map<String, Value>) -> Result<T, Failed> {
    T::deserialize(request).map_err(|error| Failed(format!("cannot use the request: {error}")))
}

impl Bridge {
    async fn operation(
        &self,
        op: &str,
        request: &Map<String, Value>,
        starts: Option<watch::Sender<Task>>,
    ) -> Result<Value, Failed> {
        if let Some(starts) = starts {
            let started = match read(request) {
                Ok(start) => self.start(&start).await,
                Err(failed) => Err(failed),
            };
            starts.send_replace(match &started {
                Ok(handle) => Task::Runs(Box::new(handle.clone())),
                Err(_) => Task::Failed,
            });
            return Ok(json!({ "handle": kept(&started?), "pid": null }));
        }
        match op {
            "wait" => self.wait(&read::<Named>(request)?.id).await,
            "stop" => self.stop(&read(request)?).await,
            "signal" => self.signal(&read(request)?).await,
            "destroy" => self.destroy(&read::<Named>(request)?.id).await,
            "recover" => Ok(self.recover(read(request)?).await),
            _ => Ok(json!({ "unsupported": true })),
        }
    }

    /// Makes room for a task that is to be started.
    async fn expect(&self, id: &str) -> watch::Sender<Task> {
        let (sender, receiver) = watch::channel(Task::Starts);
        self.tasks.lock().await.insert(id.to_owned(), receiver);
        sender
    }

    async fn driver(&self) -> Result<Driver, Failed> {
        let state = self.state.lock().await;
        let loaded = state
            .as_ref()
            .ok_or_else(|| Failed("the plugin is not loaded".into()))?;
        Ok(loaded.plugin.driver())
    }

    /// Greets the plugin, which is loaded by that.
    async fn hello(&self, request: &Map<String, Value>) -> Result<Value, Failed> {
        let Hello { protocol } = read(request)?;
        if protocol != PROTOCOL {
            return Err(Failed(format!(
                "protocol {protocol} is not known, but {PROTOCOL}"
            )));
        }
        let (loaded, greeting) = Loaded::load(&self.wanted).await?;
        *self.state.lock().await = Some(loaded);
        Ok(greeting)
    }

    async fn start(&self, start: &Start) -> Result<TaskHandle, Failed> {
        let alloc_dir = start.task_dir.join(format!("{}.alloc", start.id));
        make_folders(&alloc_dir)
            .map_err(|error| Failed(format!("make {}: {error}", alloc_dir.display())))?;
        let filling = Filling {
            argv: &start.argv,
            values: BTreeMap::from([
                ("id", start.id.clone()),
                ("task_dir", text(&start.task_dir)),
                ("log_dir", text(&start.log_dir)),
                ("alloc_dir", text(&alloc_dir)),
                ("stdout", start.stdout.clone()),
                ("stderr", start.stderr.clone()),
            ]),
        };
        let (driver, msgpack) = {
            let state = self.state.lock().await;
            let loaded = state.as_ref();
            let loaded = loaded.ok_or_else(|| Failed("the plugin is not loaded".into()))?;
            (
                loaded.plugin.driver(),
                loaded.configured(&self.wanted, &filling)?,
            )
        };
        let random: u64 = rand::random();
        let task = task_config(Told {
            alloc_id: &format!("00000000-0000-4000-8000-{:012x}", random >> 16),
            instance: &format!("{:08x}", rand::random::<u32>()),
            alloc_dir: &alloc_dir,
            env: &start.env,
            user: start.user.as_deref(),
            stdout: &start.stdout,
            stderr: &start.stderr,
            msgpack,
        });
        let id = task.id.clone();
        let started = driver.start_task(task).await?;
        let mut handle = started.handle;
        // What a host keeps is its own copy, whatever the driver sends back.
        if handle.config.as_ref().is_none_or(|config| config.id != id) {
            return Err(Failed(format!(
                "call StartTask: the handle is that of another task, {:?} instead of {id:?}",
                handle.config.take().map(|config| config.id)
            )));
        }
        Ok(handle)
    }

    /// The id that the plugin knows a task by, once it has answered that it runs.
    async fn id_of(&self, id: &str) -> Result<String, Failed> {
        let task = self.tasks.lock().await.get(id).cloned();
        let unknown = || Failed(format!("there is no task {id:?}"));
        let mut task = task.ok_or_else(unknown)?;
        let known = task.wait_for(|task| !matches!(task, Task::Starts)).await;
        match known.as_deref() {
            Ok(Task::Runs(handle)) => Ok(task_id(handle)),
            Ok(Task::Starts | Task::Failed) | Err(_) => Err(unknown()),
        }
    }

    async fn wait(&self, id: &str) -> Result<Value, Failed> {
        let task = self.id_of(id).await?;
        let answer = self.driver().await?.wait_task(&task, FOR_EVER).await?;
        let was_stopped = self.stopped.lock().await.contains(id);
        ended(&answer, was_stopped).map_err(|why| Failed(format!("call WaitTask: {why}")))
    }

    async fn stop(&self, stop: &Stop) -> Result<Value, Failed> {
        let task = self.id_of(&stop.id).await?;
        let within = Duration::from_millis(stop.timeout_ms);
        let driver = self.driver().await?;
        self.stopped.lock().await.insert(stop.id.clone());
        driver.stop_task(&task, within, &stop.signal).await?;
        // Nomad asks for the end beside it, and takes the task for dead when that is there.
        driver.wait_task(&task, CALL).await?;
        Ok(json!({}))
    }

    async fn signal(&self, send: &Send) -> Result<Value, Failed> {
        let task = self.id_of(&send.id).await?;
        self.driver()
            .await?
            .signal_task(&task, &send.signal)
            .await?;
        Ok(json!({}))
    }

    async fn destroy(&self, id: &str) -> Result<Value, Failed> {
        let task = self.id_of(id).await?;
        self.driver().await?.kill_and_destroy_task(&task).await?;
        self.tasks.lock().await.remove(id);
        self.stopped.lock().await.remove(id);
        Ok(json!({}))
    }

    async fn destroy_all(&self) {
        let ids: Vec<String> = self.tasks.lock().await.keys().cloned().collect();
        for id in ids {
            if let Err(Failed(why)) = self.destroy(&id).await {
                eprintln!("harness: {why}");
            }
        }
    }

    async fn handles(&self) -> Result<Value, Failed> {
        let tasks = self.tasks.lock().await;
        let one = |(id, task): (&String, &watch::Receiver<Task>)| match &*task.borrow() {
            Task::Runs(handle) => Some(json!({ "id": id, "handle": kept(handle) })),
            Task::Starts | Task::Failed => None,
        };
        let all: Vec<Value> = tasks.iter().filter_map(one).collect();
        Ok(json!({ "handles": all }))
    }

    async fn recover(&self, recover: Recover) -> Value {
        let (mut ok, mut lost) = (Vec::new(), Vec::new());
        let until = tokio::time::Instant::now() + RECOVER;
        for one in recover.handles {
            let id = one.id.clone();
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let outcome = timeout(left, self.recover_one(one)).await;
            match outcome
                .unwrap_or_else(|_| Err(Failed("call RecoverTask: no answer within 60 s".into())))
            {
                Ok(()) => ok.push(id),
                Err(Failed(reason)) => lost.push(json!({ "id": id, "reason": reason })),
            }
        }
        json!({ "ok": ok, "lost": lost })
    }

    async fn recover_one(&self, one: Handle) -> Result<(), Failed> {
        let handle = taken(&one.handle)
            .ok_or_else(|| Failed("the handle is none that this process gives".into()))?;
        self.driver().await?.recover_task(handle.clone()).await?;
        let task = Task::Runs(Box::new(handle));
        self.expect(&one.id).await.send_replace(task);
        Ok(())
    }

    async fn end(&self) {
        let loaded = self.state.lock().await.take();
        let Some(loaded) = loaded else { return };
        match loaded.plugin.end().await {
            Ok(Ended {
                manner: Manner::Killed,
                took,
                ..
            }) => {
                let took_ms = took.as_millis();
                eprintln!(
                    "harness: call Shutdown: the plugin lived on for {took_ms} ms, and was killed"
                );
            }
            Ok(Ended {
                manner: Manner::Asked,
                ..
            }) => {}
            Err(error) => eprintln!("harness: {}", error_chain(&error)),
        }
    }
}

fn make_folders(alloc_dir: &Path) -> io::Result<()> {
    folders()
        .iter()
        .try_for_each(|folder| fs::create_dir_all(alloc_dir.join(folder)))
}

fn task_id(handle: &TaskHandle) -> String {
    handle
        .config
        .as_ref()
        .map_or_else(String::new, |config| config.id.clone())
}

/// A handle as its bytes on the wire: that is what a host keeps of it over its own restart.
fn kept(handle: &TaskHandle) -> Value {
    handle.encode_to_vec().into()
}

fn taken(kept: &Value) -> Option<TaskHandle> {
    let bytes = Vec::<u8>::deserialize(kept).ok()?;
    TaskHandle::decode(bytes.as_slice()).ok()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
