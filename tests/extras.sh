#!/usr/bin/env bash
# What is beside the library: the header from C and C++, the man page, the Kubernetes files, the
# Python module. Each is used, not only read.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_python ctypes
missing=''

# ---- the header
cat >"$TMP/use.c" <<'END'
#include <bigmaac.h>
#include <bigmaac.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
    struct bigmaac_stats s = {sizeof s, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    char *volatile p = (char *)malloc((size_t)32 << 20);
    p[0] = 1;
    int stats = bigmaac_try_stats(&s), advice = bigmaac_try_advise(p, BIGMAAC_RANDOM);
    printf("%d %d %d %d %d\n", bigmaac_try_kind(p), bigmaac_try_kind(&s), stats, advice, s.bigmaac_bytes >= 32u << 20);
    free(p);
    return 0;
}
END
strict=(-Wall -Wextra -pedantic -Werror -I"$TOP")
for standard in c99 c11 gnu17; do
    "$CC" -std=$standard "${strict[@]}" -o "$TMP/use" "$TMP/use.c" || fail "header: $standard"
    [ "$("$TMP/use")" = "0 0 38 38 0" ] || fail "without the library: $("$TMP/use")"
    [ "$(with "$TMP/use")" = "1 0 0 0 1" ] || fail "with the library: $(with "$TMP/use")"
done
CXX=${CXX:-g++}
if command -v "$CXX" >/dev/null; then
    for standard in c++11 c++20; do
        "$CXX" -x c++ -std=$standard "${strict[@]}" -o "$TMP/use" "$TMP/use.c" || fail "header: $standard"
        [ "$("$TMP/use") $(with "$TMP/use")" = "0 0 38 38 0 1 0 0 0 1" ] || fail "C++: $("$TMP/use") $(with "$TMP/use")"
    done
else
    missing="$missing; g++ is missing: the header is not tried as C++"
fi

# ---- the man page: no warning, and complete
page=$TOP/extras/bigmaac.7
if command -v groff >/dev/null; then
    groff -man -Tutf8 -ww "$page" >"$TMP/page" 2>"$TMP/err" || fail "groff: $(cat "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "groff warns: $(cat "$TMP/err")"
elif command -v man >/dev/null; then
    LC_ALL=C man --warnings -l "$page" 2>"$TMP/err" >/dev/null
    [ ! -s "$TMP/err" ] || fail "man warns: $(cat "$TMP/err")"
else
    missing="$missing; groff is missing: the man page is not formatted"
fi
if command -v mandoc >/dev/null; then mandoc -Tlint -W error "$page" || fail "mandoc"; fi
for name in $(grep -o 'secure_getenv("[A-Z_]*")\|{"\(BIGMAAC\|SIZE\)_[A-Z_]*"' "$TOP/bigmaac.c" | grep -o '[A-Z][A-Z_]*' | grep -v '^BIGMAAC_\(TEST\|SERVICE_\|PORT\)$' | sort -u); do
    grep -q "$name" "$page" || fail "the man page lacks the setting $name"
done
for name in $(sed -n 's/^EXPORT[^(]*[ *]\(API(\)\{0,1\}\([a-zA-Z_]*\)[()].*/\2/p' "$TOP/bigmaac.c" | grep -v '^cxx_' | sed 's/_any$//') \
    $(sed -n '/reason_names\[REASON_COUNT\] = {/,/}/p' "$TOP/bigmaac.c" | grep -o '"[a-z-]*"' | tr -d '"' | grep -v none); do
    tr -d '\\' <"$page" | grep -q -- "$name" || fail "the man page lacks $name"
done
for option in $("$TOP/extras/bigmaac" --help | grep -Eo '^  --[a-z]+' ); do
    tr -d '\\' <"$page" | grep -q -- "$option" || fail "the man page lacks the option $option"
done
# Every message: the words between the parts that vary, 12 characters of them or more.
tr -d '\\' <"$page" | tr '\n' ' ' | tr -s ' ' >"$TMP/words"
grep -o '\(report\|summary_line\|fatal\)("\([^"\]\|\\.\)*' "$TOP/bigmaac.c" | sed 's/^[a-z_]*("//; s/\\"/"/g' | grep -v '^%s: [^a-z]*$' >"$TMP/messages"
[ "$(wc -l <"$TMP/messages")" -ge 10 ] || fail "no messages found in bigmaac.c"
while read -r message; do
    longest=$(sed 's/%[-0-9.*a-z]*/\n/g' <<<"$message" | sed 's/^[ =,:()"]*//; s/[ =,:("]*$//' |
        awk 'length > length(best) { best = $0 } END { print best }')
    [ "${#longest}" -lt 12 ] || grep -qF -- "$longest" "$TMP/words" || fail "the man page lacks the message \"$message\""
done <"$TMP/messages"

# ---- Kubernetes
if "$PYTHON" -c 'import yaml' 2>/dev/null; then
    "$PYTHON" - "$TOP/extras/kubernetes" <<'END' || fail "pod.yaml"
import glob, re, sys, yaml

def size(text):
    number, unit = re.fullmatch(r"(\d+)([KMGT]i)?", str(text)).groups()
    return int(number) * 1024 ** ("KMGT".index(unit[0]) + 1 if unit else 0)

class Strict(yaml.SafeLoader):
    """Refuses a key that is there twice, as kubectl does."""
def mapping(loader, node):
    keys = [loader.construct_object(key) for key, _ in node.value]
    assert len(keys) == len(set(keys)), keys
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)
Strict.add_constructor("tag:yaml.org,2002:map", mapping)

files = glob.glob(sys.argv[1] + "/*.yaml")
assert files
for name in files:
    for document in yaml.load_all(open(name), Strict):
        assert document["apiVersion"] and document["kind"] and document["metadata"]["name"]
pod = yaml.load(open(sys.argv[1] + "/pod.yaml"), Strict)
assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
spec = pod["spec"]
volumes = {v["name"]: v for v in spec["volumes"]}
for container in spec["initContainers"] + spec["containers"]:
    assert container["image"] and container["resources"]["limits"]["memory"]
    for mount in container["volumeMounts"]:
        assert mount["name"] in volumes, mount
    for variable in container.get("env", []):
        assert isinstance(variable["value"], str), f"{variable}: Kubernetes takes strings only"
job = spec["containers"][0]
env = {v["name"]: v["value"] for v in job["env"]}
mounts = {m["name"]: m for m in job["volumeMounts"]}
assert env["BIGMAAC_TEMPLATE"].startswith(mounts["swap"]["mountPath"] + "/")
assert env["LD_PRELOAD"].startswith(mounts["bigmaac"]["mountPath"] + "/")
assert not mounts["swap"].get("readOnly")
swap = volumes["swap"]["emptyDir"]
assert swap.get("medium", "") != "Memory", "that would be RAM"
assert size(swap["sizeLimit"]) > size(job["resources"]["limits"]["memory"]), "no use"
assert size(swap["sizeLimit"]) <= size(job["resources"]["limits"]["ephemeral-storage"])
assert size(env["SIZE_BIGMAAC"] + "i") + size(env["SIZE_FRIES"] + "i") <= size(swap["sizeLimit"]), "more than the volume holds"
# The "restricted" standard, for each container by itself or by its pod.
def restricted(spec):
    pod = spec.get("securityContext", {})
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = {**pod, **container.get("securityContext", {})}
        assert own.get("runAsNonRoot") and own.get("allowPrivilegeEscalation") is False, container["name"]
        assert own["capabilities"]["drop"] == ["ALL"] and own["seccompProfile"]["type"] == "RuntimeDefault", container["name"]
restricted(spec)

# The policy, merged with a pod as a strategic merge is: lists by name or mount path.
def merge(old, new):
    if isinstance(new, dict):
        return {**(old or {}), **{k: merge((old or {}).get(k), v) for k, v in new.items()}}
    if not isinstance(new, list) or not isinstance(new[0], dict):
        return new
    key = "mountPath" if "mountPath" in new[0] else "name"
    out = list(old or [])
    for item in new:
        if item.get("(name)") == "*":
            rest = {k: v for k, v in item.items() if k != "(name)"}
            out = [merge(o, rest) for o in out]
        else:
            same = [i for i, o in enumerate(out) if o[key] == item[key]]
            if same:
                out[same[0]] = merge(out[same[0]], item)
            else:
                out.append(item)
    return out
policy = yaml.load(open(sys.argv[1] + "/policy.yaml"), Strict)
assert (policy["apiVersion"], policy["kind"]) == ("kyverno.io/v1", "ClusterPolicy")
rule, = policy["spec"]["rules"]
assert [list(r["resources"]["kinds"]) for r in rule["match"]["any"]] == [["Pod"], ["Pod"]]
safe = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
plain = {"containers": [{"name": n, "image": "x", "securityContext": safe, "env": [{"name": "A", "value": "1"}],
                         "volumeMounts": [{"name": "data", "mountPath": "/data"}]} for n in ("one", "two")],
         "volumes": [{"name": "data", "emptyDir": {}}]}
merged = merge(plain, rule["mutate"]["patchStrategicMerge"]["spec"])
restricted(merged)
names = {v["name"]: v for v in merged["volumes"]}
assert set(names) == {"data", "bigmaac", "bigmaac-swap"} and len(merged["containers"]) == 2
for container in merged["initContainers"] + merged["containers"]:
    for mount in container["volumeMounts"]:
        assert mount["name"] in names, mount
for container in merged["containers"]:
    variables = {v["name"]: v["value"] for v in container["env"]}
    assert variables["A"] == "1" and all(isinstance(v, str) for v in variables.values())
    places = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert variables["LD_PRELOAD"] == places["bigmaac"] + "/lib/bigmaac.so" and places["data"] == "/data"
    assert variables["BIGMAAC_TEMPLATE"].startswith(places["bigmaac-swap"] + "/")
    assert size(variables["SIZE_BIGMAAC"] + "i") + size(variables["SIZE_FRIES"] + "i") <= size(names["bigmaac-swap"]["emptyDir"]["sizeLimit"])
assert merged["initContainers"][0]["image"] == spec["initContainers"][0]["image"]
print("\n".join(f"{k}={v}" for k, v in env.items() if not k.startswith("LD_")))
END
    # The pod's settings are settings that the library takes, but for the folder.
    settings=$("$PYTHON" -c "
import yaml
for v in yaml.safe_load(open('$TOP/extras/kubernetes/pod.yaml'))['spec']['containers'][0]['env']:
    if v['name'] not in ('LD_PRELOAD', 'BIGMAAC_TEMPLATE'): print(v['name'] + '=' + v['value'])")
    # shellcheck disable=SC2086
    with $settings true 2>"$TMP/err" || fail "the pod's settings: $(cat "$TMP/err")"
    grep -q ' stats bigmaacs=' "$TMP/err" || fail "the pod's settings: $(cat "$TMP/err")"
else
    missing="$missing; python3-yaml is missing: the YAML is not parsed"
fi
for instruction in $(sed -n 's/^\([A-Z]*\) .*/\1/p' "$TOP/extras/kubernetes/Dockerfile"); do
    case $instruction in FROM | RUN | COPY | USER | CMD | ENV | WORKDIR | ARG | LABEL) ;; *) fail "Dockerfile: $instruction" ;; esac
done
make -n -C "$TOP" install PREFIX=/opt/bigmaac | grep -q '/opt/bigmaac/lib/bigmaac.so' || fail "the Dockerfile's install"

# ---- Python
export PYTHONPATH=$TOP/extras/python PYTHONDONTWRITEBYTECODE=1
cd "$TMP" || exit 1 # in the source folder Python would take bigmaac.so for the module
"$PYTHON" -c '
import bigmaac as b, errno
assert not b.loaded() and b.stats() is None and b.kind(id(b)) == b.NONE
try:
    b.advise(id(b), b.RANDOM)
    raise SystemExit("advice was taken without the library")
except OSError as e:
    assert e.errno == errno.ENOSYS, e
try:
    raise SystemExit(b.lib())
except FileNotFoundError as e:
    assert "make wheel" in str(e), e' || fail "the module without the library"
with "$PYTHON" -c '
import bigmaac as b, ctypes, errno
x = (ctypes.c_char * (40 << 20))()
at = ctypes.addressof(x)
assert b.kind(at) == b.BIGMAAC and b.kind(at + 5) == b.BIGMAAC and b.kind(id(None)) == b.NONE
x[1000] = b"q"
b.advise(at, b.OPT_OUT)
assert x[1000] == b"q" and x[1001] == b"\0"
assert b" rw-p " in [l for l in open("/proc/self/maps", "rb") if l.startswith(b"%x-" % at)][0]
for bad in ((at + 4096, b.RANDOM), (at, 99), (0, b.RANDOM)):
    try:
        b.advise(*bad)
        raise SystemExit(f"{bad} was taken")
    except OSError as e:
        assert e.errno == errno.EINVAL, e
assert b.loaded() and b.stats()["bigmaacs"] >= 1' || fail "the module: kind, advise, stats"
[ -z "$missing" ] || skip "passed what could be tried${missing}"
exit 0
