#!/usr/bin/env bash
# A direct driver in bash: the task itself gets the FIFOs as its stdout and stderr.
#
#     bash_driver.sh --out FIFO --err FIFO -- COMMAND [ARGUMENT...]
#
# It ends with the task's exit status, 128 + n for signal n. SIGTERM is passed on to the task.
# Misuse is 64, a path that is neither a FIFO nor a device 66, a command that isn't there 127.

fail() {
    printf 'bash_driver: %s\n' "$2" >&2
    exit "$1"
}

while [[ $# -gt 0 && $1 != -- ]]; do
    case $1 in
        --out) out=${2-} ;;
        --err) err=${2-} ;;
        *) fail 64 "unknown argument $1" ;;
    esac
    shift 2 || fail 64 'a value is missing'
done
shift || fail 64 'no command after --'
[[ -n ${out-} && -n ${err-} && $# -gt 0 ]] || fail 64 'usage: --out FIFO --err FIFO -- COMMAND...'
# `>` would create a missing path as a plain file, empty one that is there, and follow a link.
for path in "$out" "$err"; do
    [[ ! -L $path && (-p $path || -c $path) ]] || fail 66 "$path is neither a FIFO nor a device"
done
# Said here, because once the task's stderr is the FIFO the message would become part of the log.
type -P -- "$1" >/dev/null || fail 127 "$1: no such command"

exec {ready}<> <(:) # a pipe without a name
pid='' stops=0
pass_on() {
    stops=$((stops + 1))
    if [[ -n $pid ]]; then kill -TERM "$pid" 2>/dev/null; fi
}
trap pass_on TERM

# The subshell opens the FIFOs and becomes the task. So this shell never waits in open(2) and can
# act on SIGTERM while nobody reads yet, and it holds no descriptor that could outlive the task.
# A fresh subshell still has this shell's trap and would swallow a SIGTERM: it says, with one line,
# when the trap is reset, and until then `pass_on` only counts. Without job control bash also
# starts it with SIGINT and SIGQUIT ignored, which a task must not inherit.
(
    trap - INT QUIT TERM
    echo >&"$ready"
    exec "$@" >"$out" 2>"$err" {ready}>&-
) <&0 &
read -r -t 10 -u "$ready"
pid=$!
if [[ $stops -gt 0 ]]; then kill -TERM "$pid" 2>/dev/null; fi

# A trap interrupts `wait`, and its status is then the trap's, not the task's: wait again.
while true; do
    seen=$stops
    wait "$pid"
    status=$?
    [[ $stops -ne $seen ]] || break
done
exit "$status"
