# lib.sh - sourced by tests/long/jobs.sh and bench/jobs.sh: one row of `list`, and a run of it in a memory group.
# WORK is the folder for inputs and swap files, JOBS this one.
# shellcheck shell=bash
JOBS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export JOBS PYTHON=${PYTHON:-/usr/bin/python3} OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 PYTHONHASHSEED=0 HOME=$WORK
cp "$LIB" "$WORK/library.so" && chmod 755 "$WORK" && mkdir -m 1777 "$WORK/swap" # some servers are not root
export BIGMAAC_TEMPLATE=$WORK/swap/bigmaac.XXXXXXXX

# Reads a row: \| in a command is a bar. Sets name limit suite setting needs prepare command.
job_read() {
    local row
    while IFS= read -r row; do
        case $row in '' | '#'*) continue ;; esac
        IFS='|' read -r name limit suite setting needs prepare command <<<"${row//\\|/$'\1'}"
        prepare=${prepare//$'\1'/|} command=${command//$'\1'/|}
        return 0
    done
    return 1
}

# What the row needs and this machine lacks.
job_missing() {
    local need
    for need in ${needs//,/ }; do
        case $need in
        python:*) $PYTHON -c "import ${need#*:}" 2>/dev/null || echo "$PYTHON with ${need#*:}" ;;
        npm:*) (cd "$JOBS" && node -e "require('${need#*:}')" >/dev/null 2>&1) || echo "node with ${need#*:} (NODE_PATH)" ;;
        file:*) compgen -G "${need#*:}" >/dev/null || echo "${need#*:}" ;;
        R:*) Rscript -e "library(${need#*:})" >/dev/null 2>&1 || echo "R with ${need#*:}" ;;
        *) command -v "$need" >/dev/null || echo "$need" ;;
        esac
    done
}

# Makes the row's input. False: it can't, says why.
job_prepare() { (cd "$WORK" && bash -c "$prepare" >prepared 2>&1) || { tail -n 2 "$WORK/prepared"; return 1; }; }
job_clean() { find "$WORK" -mindepth 1 -maxdepth 1 ! -name library.so ! -name swap ! -name swapfile -exec rm -rf {} +; }

# Sets environment to the row's setting: what README recommends for it.
job_environment() {
    environment=("LD_PRELOAD=$WORK/library.so")
    case $setting in
    fries*) environment+=("BIGMAAC_MIN_FRY_SIZE=${setting#* }") ;;
    python*) environment+=(PYTHONMALLOC=malloc "BIGMAAC_MIN_FRY_SIZE=${setting#* }") ;;
    mappings) environment+=(BIGMAAC_MIN_BIGMAAC_SIZE=512G BIGMAAC_MIN_MMAP_SIZE=256K) ;;
    all) environment+=(BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=128 BIGMAAC_MIN_MMAP_SIZE=256K) ;;
    all*) environment+=(BIGMAAC_MIN_BIGMAAC_SIZE=1M BIGMAAC_MIN_FRY_SIZE=128 "BIGMAAC_MIN_MMAP_SIZE=${setting#* }") ;;
    esac
}

# job_run MIB (0: no limit) SECONDS SWAPPINESS OUT SETTING...: the command in a group of its own. Its output to OUT. Sets
# status; seconds; anonymous: the most bytes of anonymous memory at a time, where there is no limit; faults: major
# ones; killed: how often the kernel killed.
job_run() {
    local group=/sys/fs/cgroup/memory/${TEST_ID:-bigmaac-jobs-$$}-$RANDOM mib=$1 within=$2 swappiness=$3 out=$4 began now pid
    shift 4
    mkdir "$group" || return 125
    [ "$mib" = 0 ] || echo $((mib << 20)) >"$group/memory.limit_in_bytes"
    echo "$swappiness" >"$group/memory.swappiness"
    began=$(date +%s%N) anonymous=0
    # shellcheck disable=SC2016
    (cd "$WORK" && exec timeout -k 5 "$within" sh -c 'echo $$ >"$0/cgroup.procs"; exec env "$@"' "$group" "$@" bash -c "$command" >"$out" 2>"$out.err") &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        if [ "$mib" = 0 ]; then
            { read -r _; read -r _ now; } <"$group/memory.stat" # cache N, rss N
            ((now > anonymous)) && anonymous=$now
        fi
        sleep 0.03
    done
    wait $pid 2>/dev/null
    status=$? seconds=$(awk "BEGIN { printf \"%.1f\", ($(date +%s%N) - $began) / 1e9 }")
    killed=$(sed -n 's/^oom_kill //p' "$group/memory.oom_control") faults=$(sed -n 's/^pgmajfault //p' "$group/memory.stat")
    while read -r pid; do kill -9 "$pid" 2>/dev/null; done <"$group/cgroup.procs" # a server whose client was killed
    for _ in $(seq 50); do rmdir "$group" 2>/dev/null && return; sleep 0.2; done
}

# Runs the row without the library and without a limit: its output to WORK/plain. Sets first, its seconds; needs, MiB; environment.
# False: why says what is wrong.
job_plain() {
    why=""
    job_prepare || { why="no input"; return 1; }
    job_run 0 120 0 "$WORK/plain"
    [ "$status" = 0 ] && [ -s "$WORK/plain" ] || { why="without the library: status $status: $(tail -n 3 "$WORK/plain.err")"; return 1; }
    first=$seconds needs=$((anonymous >> 20))
    job_environment
}

# Did the last job_run end as the one into WORK/plain did? Sets why, if not. Requires that its output went to WORK/out.
job_judge() {
    [ "$status" = 0 ] || why="status $status: $(tail -n 3 "$WORK/out.err")"
    [ "$killed" = 0 ] || why="killed: $(tail -n 3 "$WORK/out.err")"
    [ -n "$why" ] || cmp -s "$WORK/plain" "$WORK/out" || why="other output: $(diff "$WORK/plain" "$WORK/out" | head -n 6)"
    [ -n "$why" ] || [ -z "$(ls -A "$WORK/swap")" ] || why="left behind: $(ls -A "$WORK/swap")"
}
