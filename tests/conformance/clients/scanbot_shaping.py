"""Scanbot's automatic tip shaping without its window, to the end.

Prints what Scanbot says. Runs in the client's own environment, in a folder of its own.
"""

import sys
import time
from pathlib import Path

first_port = int(sys.argv[1])
ports = ",".join(str(first_port + n) for n in range(4))
Path("scanbot_config.ini").write_text(f"port_list={ports}\n")
sys.argv = ["scanbot"]  # it reads the arguments of whoever imports it

from scanbot.server import global_  # noqa: E402
from scanbot.server.scanbot_interface import scanbot_interface  # noqa: E402

interface = scanbot_interface(run_mode="c", module_dir="./")
interface.handle_message("auto_tip_shape -n=1 -st=0 -wh=8e-9 -sym=0.7 -size=1.2")
started = time.monotonic()
while global_.running.is_set():
    if time.monotonic() - started > 45:
        raise SystemExit("the tip shaping does not end")
    time.sleep(0.05)
