#!/usr/bin/env python3
"""A direct driver that is spoken to: one JSON object per line on stdin and stdout.

A shell stands between driver and task. It gives the task the FIFOs, waits for it, and writes its
status into a file. So a task outlives the driver, and the next driver still learns how it ended.
"""
import json, os, select, shutil, signal, stat, subprocess, sys, threading

CAPABILITIES = ["signals", "multi-writer", "no-log-collection", "checks-paths", "payload.exec", "recover"]
# The inner shell becomes the task, so the number that it writes is the task's.
SHELL = """sh -c 'echo $$ >"$1"; out=$2 err=$3; shift 3; exec "$@" >"$out" 2>"$err"' sh "$@"
echo $? >"$0" """
tasks, lock = {}, threading.Lock()


class Task:
    def __init__(self, files, pid, child=None):
        self.files, self.pid, self.child = files, pid, child
        try:
            # Readable when the shell has ended, whoever its parent is. A file closes itself when it is forgotten.
            self.end = open(os.pidfd_open(pid), "rb", buffering=0)
        except ProcessLookupError:
            self.end = None
        self.began = began(pid)

    def ended(self, seconds=None):
        return not self.end or bool(select.select([self.end], [], [], seconds)[0])

    def send(self, name):
        while not (written := read(self.files + ".pid")).endswith("\n") and not self.ended(0.01):
            pass  # The shell has only just begun.
        if written and not self.ended(0):
            os.kill(int(written), getattr(signal, name))


def read(path):
    try:
        return open(path).read()
    except OSError:
        return ""


def began(pid):  # A number alone may be used again.
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19:20]


def usable(path):  # `>` would create a missing path, empty a file, and follow a link.
    return os.path.lexists(path) and stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFIFO, stat.S_IFCHR)


def hello(protocol, suite, spec):
    return {"driver": "stdio-example-python", "version": "1", "capabilities": CAPABILITIES}


def start(id, argv, env, user, stdout, stderr, task_dir, log_dir):
    if user or not shutil.which(argv[0]) or not (usable(stdout) and usable(stderr)):
        return {"error": "no such program, another user, or neither FIFOs nor devices"}
    files = os.path.join(task_dir, id)
    words = ["sh", "-c", SHELL, files + ".status", files + ".pid", stdout, stderr, *argv]
    child = subprocess.Popen(words, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, start_new_session=True)
    tasks[id] = Task(files, child.pid, child)
    return {"handle": {"files": files, "pid": child.pid, "began": tasks[id].began}}


def wait(id):
    task = tasks[id]
    task.ended()
    if task.child:
        task.child.wait()
    return {"exit": int(read(task.files + ".status") or 128 + signal.SIGKILL), "signal": None}


def stop(id, signal, timeout_ms):
    tasks[id].send(signal)
    if not tasks[id].ended(timeout_ms / 1000):
        tasks[id].send("SIGKILL")
    tasks[id].ended()
    return {}


def send(id, signal):
    tasks[id].send(signal)
    return {}


def destroy(id):
    task = tasks.pop(id)
    task.send("SIGKILL")
    task.ended(5)
    return {}


def detach():
    return {"handles": [{"id": id, "handle": {"files": task.files, "pid": task.pid, "began": task.began}}
                        for id, task in tasks.items()]}


def recover(handles):
    ok, lost = [], []
    for id, old in ((one["id"], one["handle"]) for one in handles):
        try:
            task = Task(old["files"], old["pid"])
            if task.began != old["began"]:  # The shell has ended, and its number may be another's.
                if not read(task.files + ".status"):
                    raise OSError("its shell is gone and left no status")
                task.end, task.began = None, old["began"]
            tasks[id] = task
            ok.append(id)
        except OSError as error:
            lost.append({"id": id, "reason": str(error)})
    return {"ok": ok, "lost": lost}


def answer(operation, seq, fields):
    try:
        fields = operation(**fields)
    except KeyError as error:
        fields = {"error": f"no task {error}"}
    with lock:
        print(json.dumps({"seq": seq, **fields}), flush=True)


KNOWN = {"hello": hello, "start": start, "wait": wait, "stop": stop, "signal": send, "detach": detach,
         "recover": recover, "destroy": destroy}
for line in sys.stdin:
    request = json.loads(line)
    op, seq = request.pop("op"), request.pop("seq")
    operation = KNOWN.get(op, lambda **_: {"unsupported": True})
    if op in ("wait", "stop"):  # They take as long as the task; answers may come in any order.
        threading.Thread(target=answer, args=(operation, seq, request), daemon=True).start()
    else:
        answer(operation, seq, request)
    if op == "detach":
        os._exit(0)  # The shells and the tasks live on.
for id in list(tasks):
    destroy(id)
