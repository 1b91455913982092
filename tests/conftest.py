"""One thread per test process: the suite runs one process per core, and small models lose by more threads.

And Ctrl-C as usual: a suite started in the background inherits SIGINT ignored, and so would the children that tests
send it to.
"""

from __future__ import annotations

import os
import signal

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
