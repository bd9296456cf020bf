#!/usr/bin/env bash
# PyTorch: DataLoader workers (forked) over a tensor that is a bigmaac. Workers read all of it and
# scribble over what they have read; batches and the parent's tensor stay as they were.
# shellcheck source=tests/lib.sh
. "$(dirname "$0")/lib.sh"
need_python torch numpy
cat >"$TMP/job.py" <<'END'
import ctypes, os
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

rows, columns = 4096, 8192                              # 128 MiB of float32
torch.set_num_threads(1)

def row(i):
    return torch.arange(columns, dtype=torch.float32) + i * 3

class Rows(Dataset):
    def __init__(self):
        self.data = torch.stack([row(i) for i in range(rows)])
        kind = ctypes.CDLL(None).bigmaac_kind(ctypes.c_void_p(self.data.data_ptr()))
        assert kind == 1, "the tensor is no bigmaac"
    def __len__(self):
        return rows
    def __getitem__(self, i):
        assert get_worker_info() is not None
        out = self.data[i].clone()
        self.data[i] = -1                               # the worker's own copy, by copy on write
        return i, out

dataset = Rows()
for persistent in (False, True):
    loader = DataLoader(dataset, batch_size=64, num_workers=2, shuffle=True, multiprocessing_context="fork",
                        persistent_workers=persistent)
    seen = torch.zeros(rows)
    for indices, batch in loader:
        want = torch.stack([row(int(i)) for i in indices])
        assert torch.equal(batch, want), "a batch differs"
        seen[indices] += 1
    assert bool((seen == 1).all())
    if persistent:                                      # the same workers again: they see what they wrote
        changed = sum(int((batch == -1).all(dim=1).sum()) for _, batch in loader)
        assert 0 < changed <= rows, changed
    del loader
assert all(torch.equal(dataset.data[i], row(i)) for i in range(rows)), "the parent's tensor has changed"
dataset.data += 1                                       # the parent can write again
assert all(torch.equal(dataset.data[i], row(i) + 1) for i in range(rows))
print("done")
END
for mode in private copy; do
    out=$(with BIGMAAC_FORK=$mode OMP_NUM_THREADS=1 timeout 600 "$PYTHON" "$TMP/job.py" 2>"$TMP/err") ||
        fail "$mode: status $?: $(tail -n 20 "$TMP/err")"
    [ "$out" = "done" ] || fail "$mode: $out"
done
exit 0
