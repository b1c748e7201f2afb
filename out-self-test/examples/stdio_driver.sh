#!/usr/bin/env bash
# A direct driver in bash that is spoken to: one JSON object per line on stdin and stdout.
#
# It reads JSON with patterns, which is enough for the lines that the suite writes: no spaces between
# tokens, and no escaped slashes. A driver in another language should use a JSON library.

folder=$(mktemp -d) || exit 71
trap 'rm -rf "$folder"' EXIT
declare -A shells=()  # the shell that waits for a task, by the task's id
declare -A askers=()  # what still looks at a task's status for an answer
exec {never}<> <(:)  # a pipe that nobody writes to: `read -t` on it is a sleep

# What a string of JSON stands for; printf knows every escape but that of the quote.
decode() { printf -v value %b "${1//\\\"/\"}"; }
field() { [[ $line =~ \"$1\":\"(([^\"\\]|\\.)*)\" ]] && decode "${BASH_REMATCH[1]}"; }
answer() { printf '{"seq":%s%s}\n' "$seq" "${1:+,$1}"; } # short lines are written in one piece
usable() { [[ ! -L $1 && (-p $1 || -c $1) ]]; }          # `>` would create, empty or follow it
pause() { read -r -t 0.01 -u "$never"; }
ended() { [[ -s $folder/$id.status ]]; }

start() {
    local rest=$line words=() variables=() out err
    rest=${rest#*\"argv\":[}
    while [[ $rest =~ ^,?\"(([^\"\\]|\\.)*)\" ]]; do
        decode "${BASH_REMATCH[1]}"
        words+=("$value") rest=${rest:${#BASH_REMATCH[0]}}
    done
    rest=${rest#*\"env\":\{}
    while [[ $rest =~ ^,?\"([A-Za-z0-9_]*)\":\"(([^\"\\]|\\.)*)\" ]]; do
        decode "${BASH_REMATCH[2]}"
        variables+=("${BASH_REMATCH[1]}=$value") rest=${rest:${#BASH_REMATCH[0]}}
    done
    line=$rest # what is left of it: the names could stand in the environment too
    field stdout && out=$value
    field stderr && err=$value
    if ! type -P -- "${words[0]}" >/dev/null || ! usable "$out" || ! usable "$err"; then
        answer '"error":"no such program, or neither FIFOs nor devices"'
        return
    fi
    (
        exec {never}>&- </dev/null >/dev/null
        trap - EXIT
        # In the foreground: bash starts what it starts in the background with signals ignored.
        (
            echo "$BASHPID" >"$folder/$id.pid"
            exec env "${variables[@]}" "${words[@]}" >"$out" 2>"$err"
        )
        echo $? >"$folder/$id.status"
    ) &
    shells[$id]=$!
    answer "\"handle\":$!"
}

# The task's own process; waits until it has one.
task() {
    until [[ -s $folder/$id.pid ]] || ended; do pause; done
    pid=$(<"$folder/$id.pid")
}

end() { # signal, milliseconds
    ended && return
    task && kill -s "${1#SIG}" "$pid" 2>/dev/null
    for ((left = $2 / 10; left > 0; left--)); do
        ended && return
        pause
    done
    kill -s KILL "$pid" 2>/dev/null
    until ended; do pause; done
}

while IFS= read -r line; do
    [[ $line =~ \"seq\":([0-9]+),\"op\":\"([^\"]*)\" ]] || exit 65
    seq=${BASH_REMATCH[1]} op=${BASH_REMATCH[2]} id=''
    field id && id=$value
    if [[ $op =~ ^(wait|stop|signal|destroy)$ && -z ${shells[$id]-} ]]; then
        answer '"error":"no such task"'
        continue
    fi
    case $op in
        hello) answer '"driver":"stdio-example-bash","version":"1","capabilities":["signals","multi-writer","no-log-collection","checks-paths","payload.exec"]' ;;
        start) start ;;
        wait)
            (trap - EXIT; until ended; do pause; done; answer "\"exit\":$(<"$folder/$id.status"),\"signal\":null") &
            askers[$id]+=" $!"
            ;;
        stop)
            field signal
            [[ $line =~ \"timeout_ms\":([0-9]+) ]]
            (trap - EXIT; end "$value" "${BASH_REMATCH[1]}"; answer '') &
            askers[$id]+=" $!"
            ;;
        signal) field signal && ! ended && task && kill -s "${value#SIG}" "$pid" 2>/dev/null; answer '' ;;
        destroy)
            end SIGKILL 0
            # Whoever looks for the status must have seen it before it is removed.
            wait "${shells[$id]}" ${askers[$id]-}
            unset "shells[$id]" "askers[$id]"
            rm -f "$folder/$id".*
            answer ''
            ;;
        *) answer '"unsupported":true' ;;
    esac
done
for id in "${!shells[@]}"; do end SIGKILL 0; done
