# steps.py MB [STEPS]: `a += b * 0.5` on arrays of MB million bytes; prints the seconds of all
# steps. Each step makes and drops a third array. The result is checked.
import sys
import time

import numpy as np

mb, steps = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10
a, b = np.ones(mb * 125000), np.full(mb * 125000, 2.0)
begin = time.monotonic()
for _ in range(steps):
    a += b * 0.5
seconds = time.monotonic() - begin
if not (a.min() == a.max() == 1.0 + steps):
    sys.exit("steps.py: a wrong sum")
print(f"{seconds:.4f}")
