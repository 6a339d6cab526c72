"""The nearest public simulator, in an environment of its own: spmsimu (R. Liu, MIT licence).

It dilates a bitmap with a kernel of 25 x 25 pixels and runs a PI loop forward and backward, on one
thread here. Drawing the bitmap is not counted; our surface is.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator

from drivers.errors import UserError
from drivers.peers import peer_python

PEER = "spmsimu"
PIXELS = 128
#: Takes a count per line; answers with the CPU seconds that each scan took on average.
_PROGRAM = """
import json, sys, time
import spmsimu.simulator as peer
image = peer.normalize(peer.generate_pattern(%d, %d, "checkerboard"))
kernel = peer.generate_tip_kernel(kernel_size=25, wx=5, wy=5)
peer.scan(image, kernel, retrace=True)
for line in sys.stdin:
    started = time.process_time()
    for _ in range(int(line)):
        peer.scan(image, kernel, retrace=True)
    print(json.dumps((time.process_time() - started) / int(line)), flush=True)
"""

Turn = Callable[[int], float]


@contextlib.contextmanager
def peer_scans() -> Iterator[Turn]:
    """The peer, ready and compiled.

    Yields:
        A call that makes it scan so many times and says how long one took (CPU s).

    Raises:
        UserError: its environment cannot be built here, or it gave up.
    """
    command = [str(peer_python(PEER)), "-c", _PROGRAM % (PIXELS, PIXELS)]
    pipe = subprocess.PIPE
    one_thread = {**os.environ, "NUMBA_NUM_THREADS": "1"}
    # Our packages are no business of its interpreter.
    one_thread.pop("PYTHONPATH", None)
    with subprocess.Popen(  # noqa: S603 - our own program, no shell
        command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=one_thread
    ) as process:

        def turn(scans: int) -> float:
            if process.stdin is None or process.stdout is None:
                raise ValueError("the peer's process needs pipes")
            with contextlib.suppress(BrokenPipeError):
                print(scans, file=process.stdin, flush=True)
            line = process.stdout.readline()
            if not line:
                raise UserError(f"{PEER} gave up")
            return float(json.loads(line))

        yield turn
        # Leaving closes the pipes, which ends the program.
