"""The live test suite that comes with nanonisTCP, module after module in its own order.

Prints one JSON object: the outcome of each module. Runs in the client's own environment.
"""

import contextlib
import importlib
import json
import os
import re
import sys
from pathlib import Path

import nanonisTCP

os.environ["MPLBACKEND"] = "Agg"
first_port = int(sys.argv[1])
version = 15000  # as the suite itself says for present controllers
tests = Path(nanonisTCP.__file__).parent / "test"
sys.path.insert(0, str(tests))

outcomes = {}
for name in re.findall(r"^from (\w+Test) import", (tests / "test.py").read_text(), re.MULTILINE):
    module = importlib.import_module(name)
    # The suite spreads its modules over the first two of the default ports.
    port = first_port + module.run_test.__defaults__[1] - 6501
    with contextlib.redirect_stdout(sys.stderr):
        outcome = module.run_test(TCP_PORT=port, debug=False, version=version)
    outcomes[name] = str(outcome)
json.dump(outcomes, sys.stdout)
