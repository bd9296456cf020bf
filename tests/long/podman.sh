# The Dockerfile is built, and pod.yaml is played by podman as a cluster would run it: with its filter, its user and
# its limits (the sizes are smaller). The job finishes on more than twice its memory, and without the library is killed.
# timeout: 2700
. "$TOP/tests/lib.sh"
need_root; need podman; need debootstrap; need_python yaml
export TMPDIR=$TMP CONTAINERS_CONF=$TMP/containers.conf
cannot() { skip "this machine can't $1: $(tail -n 1 "$TMP/log")"; }
pod() { podman --root "$TMP/store" --runroot "$TMP/run" "$@" >"$TMP/log" 2>&1; }
: >"$CONTAINERS_CONF"
# The store's mounts and its pods go, whatever happens.
trap 'pod pod rm -f -a; pod rm -f -a; pod system reset -f; umount -R "$TMP/store" 2>/dev/null; rm -rf "$TMP/store" "$TMP/run" "$TMP/root"' EXIT
base=docker.io/library/debian:12-slim
debootstrap --variant=minbase --include=gcc,libc6-dev,make bookworm "$TMP/root" >"$TMP/log" 2>&1 || cannot "get Debian 12"
tar -C "$TMP/root" -cf "$TMP/root.tar" . && pod import "$TMP/root.tar" $base || cannot "import an image"
rm -rf "$TMP/root" "$TMP/root.tar"
works=0
for runtime in crun runc; do
    printf '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\nnetns = "host"\n[engine]\nruntime = "%s"\n' \
        $runtime >"$CONTAINERS_CONF"
    pod run --rm --network host $base true && works=1 && break
done
[ $works = 1 ] || cannot "run containers"

pod build --network host --isolation chroot -f "$TOP/extras/kubernetes/Dockerfile" -t localhost/bigmaac:1 "$TOP" || fail "$(tail "$TMP/log")"
mkdir "$TMP/job" && cp "$TOP/bench/demo_job.c" "$TMP/job"
printf 'FROM %s\nCOPY demo_job.c /\nRUN cc -O2 -o /job /demo_job.c\n' $base >"$TMP/job/Dockerfile"
pod build --network host --isolation chroot -t localhost/job:1 "$TMP/job" || fail "$(tail "$TMP/log")"

# play LIBRARY: the pod, to its end; its log is in $TMP/log, its status in $status
play() {
    $PYTHON - "$TOP/extras/kubernetes/pod.yaml" "$1" >"$TMP/pod.yaml" <<'END'
import sys, yaml
pod = yaml.safe_load(open(sys.argv[1]))
pod["spec"]["initContainers"][0]["image"] = "localhost/bigmaac:1"
job = pod["spec"]["containers"][0]
job.update(image="localhost/job:1", command=["/job", "700"])
for kind in job["resources"].values():
    kind["memory"] = "300Mi"
for variable in job["env"]:
    if variable["name"] == "LD_PRELOAD":
        variable["value"] = sys.argv[2]
print(yaml.safe_dump(pod))
END
    pod kube play --network host "$TMP/pod.yaml" || cannot "play a pod"
    for _ in $(seq 120); do
        status=$(podman --root "$TMP/store" --runroot "$TMP/run" inspect -f '{{.State.Status}} {{.State.ExitCode}}' bigmaac-job-job)
        case $status in exited*) break ;; esac
        sleep 1
    done
    pod logs bigmaac-job-job; cp "$TMP/log" "$TMP/told"
}
play /opt/bigmaac/lib/bigmaac.so
[ "$status" = "exited 0" ] && grep -q '^digits ' "$TMP/told" || fail "with the library: $status: $(cat "$TMP/told")"
[ "$(stat_of bigmaac_peak "$TMP/told")" -gt $((600 << 20)) ] || fail "nothing was swapped: $(cat "$TMP/told")"
! grep -q 'bigmaac\[.*in memory\|passing all' "$TMP/told" || fail "$(cat "$TMP/told")"
pod kube down "$TMP/pod.yaml" || fail "$(tail "$TMP/log")"
play ''
[ "$status" = "exited 137" ] || fail "without the library: $status: $(cat "$TMP/told")"
exit 0
