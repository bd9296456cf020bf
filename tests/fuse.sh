# A FUSE file system that refuses shared mappings, as with direct_io: the next malloc serves,
# and nobody else's mapping suffers. One that counts its room in fragments: that is what is looked at.
. "$TOP/tests/lib.sh"
need_root; need_python ctypes
[ -c /dev/fuse ] || skip "this machine can't mount FUSE: no /dev/fuse"
cat >"$TMP/fuse.py" <<'P'
"""A tiny memory-backed FUSE file system. Options: direct_io (no shared mappings), frsize."""
import os, struct, sys, errno, stat, ctypes
mnt = sys.argv[1]; DIRECT = 'direct' in sys.argv[2:]; FRS = 512 if 'frsize' in sys.argv[2:] else 4096
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open('/dev/fuse', os.O_RDWR)
opts = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"rev2fuse", mnt.encode(), b"fuse", 6, opts): raise OSError(ctypes.get_errno(), "mount")
nodes = {1: bytearray()}; names = {}; nxt = 2
def attr(n):
    mode = (stat.S_IFDIR | 0o777) if n == 1 else (stat.S_IFREG | 0o600)
    return struct.pack('<QQQQQQIIIIIIIIII', n, len(nodes[n]), len(nodes[n]) // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
def entry(n): return struct.pack('<QQQQII', n, 0, 0, 0, 0, 0) + attr(n)
OPENFLAGS = 1 if DIRECT else 0
pid = os.fork()
if pid: os.close(fd); print(pid); os._exit(0)
os.setsid(); os.dup2(os.open('/dev/null', os.O_RDWR), 1)
while True:
    try: req = os.read(fd, 1 << 20)
    except OSError as e:
        if e.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN): continue
        break
    ln, op, uniq, node, uid, gid, p_, pad = struct.unpack_from('<IIQQIIII', req); body = req[40:ln]
    def reply(data=b'', err=0):
        try: os.write(fd, struct.pack('<IiQ', 16 + len(data), -err, uniq) + data)
        except OSError: pass
    if op == 26:
        maj, mi, ra, fl = struct.unpack_from('<IIII', body)
        reply(struct.pack('<IIIIHHIIHHI', 7, 31, ra, 0, 12, 9, 1 << 17, 1, 0, 0, 0) + b'\0' * 28)
    elif op in (2, 42): pass                       # forget
    elif op == 36: pass                            # interrupt
    elif op == 1:
        nm = body.split(b'\0')[0]
        reply(entry(names[nm])) if nm in names else reply(err=errno.ENOENT)
    elif op == 3: reply(struct.pack('<QII', 0, 0, 0) + attr(node))
    elif op == 4:
        valid, _, fh, size = struct.unpack_from('<IIQQ', body)
        if valid & 8:
            d = nodes[node]; nodes[node] = d[:size] if size <= len(d) else d + bytearray(size - len(d))
        reply(struct.pack('<QII', 0, 0, 0) + attr(node))
    elif op == 35:
        nm = body[16:].split(b'\0')[0]
        if nm in names: reply(err=errno.EEXIST); continue
        n = nxt; nxt += 1; nodes[n] = bytearray(); names[nm] = n
        reply(entry(n) + struct.pack('<QII', n, OPENFLAGS, 0))
    elif op == 10:
        names.pop(body.split(b'\0')[0], None); reply()
    elif op in (14, 27): reply(struct.pack('<QII', node, OPENFLAGS, 0))
    elif op == 15:
        fh, off, size = struct.unpack_from('<QQI', body); reply(bytes(nodes[node][off:off + size]))
    elif op == 16:
        fh, off, size = struct.unpack_from('<QQI', body); data = body[40:40 + size]; d = nodes[node]
        if len(d) < off + len(data): d.extend(bytes(off + len(data) - len(d)))
        d[off:off + len(data)] = data; reply(struct.pack('<II', len(data), 0))
    elif op == 17:
        total = 1 << 30
        reply(struct.pack('<QQQQQIIII', total // FRS, (64 << 20) // FRS, (64 << 20) // FRS, 1000, 1000, 4096, 255, FRS, 0) + b'\0' * 24)
    elif op in (18, 25, 29, 30, 34, 20): reply()
    else: reply(err=errno.ENOSYS)
P
fuse() { # OPTION...: mounts it anew
    MOUNT=$TMP/fuse
    [ -d "$MOUNT" ] && umount "$MOUNT"
    mkdir -p "$MOUNT"
    $PYTHON "$TMP/fuse.py" "$MOUNT" "$@" >"$TMP/server" || skip "this machine can't mount FUSE"
    MOUNTS=("$MOUNT"); trap loop_unmount EXIT
}
export BIGMAAC_TEMPLATE=$TMP/fuse/bigmaac.XXXXXX

cat >"$TMP/gap.c" <<'C'
#include "sys_blocks.h"
#include <sys/mman.h>
int main(void)
{
    for (int i = 0; i < 4; i++) {
        struct block large = {0}, fry = {0};
        CHECK(block_new(&large, 20 << 20, 9) && bigmaac_try_kind(large.p) == BIGMAAC_KIND_NONE);
        size_t bytes = (size_t)(8 + i) << 20;
        char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED && bigmaac_try_kind(p) == BIGMAAC_KIND_NONE);
        memset(p, 7, bytes);
        CHECK(block_intact(&large) && p[0] == 7 && p[bytes - 1] == 7);
        CHECK(block_new(&fry, 2 << 20, (uint64_t)i) && block_intact(&fry));
        CHECK(p[0] == 7 && p[bytes - 1] == 7);
        block_drop(&fry);
    }
    return check_result();
}
C
cat >"$TMP/room.c" <<'C'
#include "sys_blocks.h"
int main(void) /* 64 MiB are left */
{
    CHECK(bigmaac_try_kind(opaque(malloc(100 << 20))) == BIGMAAC_KIND_NONE);
    CHECK(bigmaac_try_kind(opaque(malloc(20 << 20))) == BIGMAAC_KIND_BIGMAAC);
    return check_result();
}
C
compile_c "$TMP/gap" "$TMP/gap.c"
compile_c "$TMP/room" "$TMP/room.c"
fuse direct
for fries in 0 1M; do
    with BIGMAAC_MIN_FRY_SIZE=$fries "$TMP/gap" 2>"$TMP/err" || fail "no shared mappings: status $?: $(head -n 5 "$TMP/err")"
    [ ! -s "$TMP/err" ] || fail "printed $(cat "$TMP/err")"
    with BIGMAAC_VERBOSE=1 BIGMAAC_MIN_FRY_SIZE=$fries "$TMP/gap" 2>&1 | grep -q "mmap in $TMP/fuse/.*: No such device" ||
        fail "verbose does not tell why"
done
fuse frsize
with "$TMP/room" || fail "fragments: status $?"
umount "$MOUNT"
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$(cat "$TMP/server")" 2>/dev/null || break; sleep 0.1; done
exit 0
