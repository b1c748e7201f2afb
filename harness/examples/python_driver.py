#!/usr/bin/env python3
"""A forwarding driver: the task writes into pipes, and a thread per stream copies into its FIFO.

    python_driver.py --out FIFO --err FIFO -- COMMAND [ARGUMENT...]

It ends with the task's exit status, 128 + n for signal n. SIGTERM is passed on to the task.
"""
import os, select, signal, stat, subprocess, sys, threading, time

LINGER_S = 2  # how long the output of children that outlive the task is copied
patience_s = 10  # how long output waits for a reader, from the task's end or the last byte taken
child, ended_at = None, float("inf")


def open_fifo(path):
    fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    if not stat.S_ISFIFO(os.fstat(fifo).st_mode):
        os.close(fifo)
        raise OSError(f"{path} is not a FIFO")
    return fifo


def forward(source, path):
    fifo, chunk, last, moved_at = None, b"", False, 0.0
    while fifo is None or chunk or not last:
        if (fifo is None or chunk) and time.monotonic() > max(moved_at, ended_at) + patience_s:
            return print(f"python_driver: nobody took all of {path}", file=sys.stderr)
        try:
            if fifo is None:  # Opened although the stream may stay silent.
                fifo = open_fifo(path)
            elif chunk:
                chunk = chunk[os.write(fifo, chunk):]
                moved_at = time.monotonic()
            else:  # A child may hold the pipe for ever: one last read takes all that is in it.
                last = time.monotonic() > ended_at + LINGER_S
                if select.select([source], [], [], 0 if last else 0.1)[0]:
                    chunk = os.read(source.fileno(), 1 << 20)
                    last = last or not chunk
        except BlockingIOError:  # EAGAIN: the FIFO is full
            select.select([], [fifo], [], 0.1)
        except OSError:  # ENXIO, EPIPE: nobody reads. Held open, so that what is in it stays there.
            time.sleep(0.01)


def stop(*_):
    global patience_s
    patience_s = 1  # A stop must not hang on the log.
    if child:
        child.terminate()


try:
    _, _, out, _, err, _, *command = sys.argv
    modes = [os.lstat(path).st_mode for path in (out, err)]
    if not command or not all(stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) for mode in modes):
        raise ValueError("a command, and FIFOs or devices, are needed")
except (OSError, ValueError) as error:
    sys.exit(f"python_driver: {error}\n{__doc__}")
signal.signal(signal.SIGTERM, stop)
# A device is /dev/null: collection is off, and the task gets the device itself.
targets = [subprocess.PIPE if stat.S_ISFIFO(mode) else os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
           for path, mode in zip((out, err), modes)]
try:
    child = subprocess.Popen(command, stdout=targets[0], stderr=targets[1])
except OSError as error:
    print(f"python_driver: {error}", file=sys.stderr)
    sys.exit(127)
if patience_s == 1:  # SIGTERM came before there was a child.
    child.terminate()
threads = [threading.Thread(target=forward, args=(source, path))
           for source, path in ((child.stdout, out), (child.stderr, err)) if source]
for thread in threads:
    thread.start()
# Waiting in the kernel could sleep over a SIGTERM that came right before.
while child.poll() is None:
    time.sleep(0.02)
ended_at, status = time.monotonic(), child.returncode
while any(thread.is_alive() for thread in threads):
    time.sleep(0.02)
sys.exit(status if status >= 0 else 128 - status)
