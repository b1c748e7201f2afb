"""A driver between the suite and the Python example, which makes one mistake: the first argument.

    wrong_adapter.py MISTAKE EXAMPLE
"""
import json, os, signal, subprocess, sys, threading

mistake, example = sys.argv[1:]
child = subprocess.Popen([sys.executable, example], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
asked, held, late = {}, [], []
writing = threading.Lock()


def say(line):
    try:
        print(line if isinstance(line, str) else json.dumps(line), flush=True)
    except BrokenPipeError:
        pass


def pass_on(line):
    with writing:
        child.stdin.write(line.encode())
        child.stdin.flush()


def to_child():
    for line in sys.stdin:
        request = json.loads(line)
        op, seq = request["op"], request["seq"]
        asked[seq] = request
        if mistake == "never-answers" and op == "hello":
            continue
        if mistake == "stop-does-nothing" and op == "stop":
            say({"seq": seq})
            continue
        if mistake == "knows-everything" and op.startswith("x-"):
            say({"seq": seq})
            continue
        if mistake == "forgets-nothing" and op == "destroy":
            say({"seq": seq})
            continue
        if mistake == "forgets-late" and op == "destroy":  # Which it may.
            late.append(threading.Timer(0.7, pass_on, [line]))
            late[-1].start()
            continue
        pass_on(line)
    for timer in late:
        timer.join()
    if mistake != "outlives-its-stdin":
        child.stdin.close()
        child.wait()


def from_child(answer):
    seq = answer["seq"]
    op = asked[seq]["op"]
    is_end = op == "wait" and "exit" in answer
    if mistake == "no-json" and op == "hello":
        return say("hello to you")
    if mistake == "no-seq" and op == "hello":
        del answer["seq"]
    if mistake == "other-seq" and is_end:
        answer["seq"] = seq + 100
    if mistake == "no-version" and op == "hello":
        del answer["version"]
    if mistake == "capabilities-as-text" and op == "hello":
        answer["capabilities"] = "signals,recover"
    if mistake == "declares-the-unknown" and op == "hello":
        answer["capabilities"].append("time-travel")
    if mistake == "exit-as-text" and is_end:
        answer["exit"] = str(answer["exit"])
    if mistake == "exit-and-signal" and is_end:
        answer["signal"] = 9
    if mistake == "always-0" and is_end:
        answer["exit"] = 0
    if mistake == "no-handle" and op == "start":
        answer.pop("handle", None)
        answer.pop("error", None)
    if mistake == "a-field-too-many" and op == "destroy":
        answer["status"] = "ok"
    if mistake == "no-handles" and op == "detach":
        answer["handles"] = []
    if mistake == "forgets-one" and op == "recover":
        answer["ok"] = []
    if mistake == "loses-everything" and op == "recover":
        answer = {"seq": seq, "ok": [], "lost": [{"id": id, "reason": "no"} for id in answer["ok"]]}
    if mistake == "refuses-to-recover" and op == "recover":
        answer = {"seq": seq, "error": "the FIFOs can't be opened"}
    if mistake == "takes-its-tasks-along" and op == "detach":
        for one in answer["handles"]:
            os.killpg(one["handle"]["pid"], signal.SIGKILL)
    if mistake == "in-order" and op == "wait":
        held.append((seq, answer))
        held.sort(key=lambda one: one[0])
        waits = sorted(number for number, one in asked.items() if one["op"] == "wait")
        while held and held[0][0] == waits[0]:
            say(held.pop(0)[1])
            del asked[waits.pop(0)]
        return None
    say(answer)


threading.Thread(target=to_child, daemon=True).start()
for line in child.stdout:
    from_child(json.loads(line))
detached = any(request["op"] == "detach" for request in asked.values())
if mistake == "fails-at-detach" and detached:
    sys.exit(3)
if mistake == ("outlives-detach" if detached else "outlives-its-stdin"):
    threading.Event().wait()
