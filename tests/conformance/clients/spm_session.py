"""A session with nanonis-spm: bias, feedback, scan, pulse, tip shaper and approach.

Prints one JSON object of what the client decoded. Runs in the client's own environment.
"""

import contextlib
import json
import socket
import sys
import time

import numpy as np
from nanonis_spm import Nanonis

port = int(sys.argv[1])
client = Nanonis(socket.create_connection(("127.0.0.1", port)))
reader = Nanonis(socket.create_connection(("127.0.0.1", port + 1)))
found = {}


def ask(error, _raw, values):
    """The values of an answer that is no error."""
    if error:
        raise SystemExit(error)
    return values


names = ask(*client.Signals_NamesGet())[2]
z = names.index("Z (m)")
found["signals"] = len(names)
found["z_m"] = ask(*client.Signals_ValGet(z, 1))[0]

ask(*client.Bias_Set(0.5))
found["bias_v"] = ask(*client.Bias_Get())[0]
ask(*client.ZCtrl_SetpntSet(150e-12))
found["setpoint_a"] = ask(*client.ZCtrl_SetpntGet())[0]
found["current_a"] = ask(*client.Current_Get())[0]
found["session"] = ask(*client.Util_SessionPathGet())[1]

ask(*client.Scan_PropsSet(2, 2, 1, "vendor", "a scan", ["Bias"], 0))
ask(*client.Scan_BufferSet([0, z], 32, 32))
ask(*client.Scan_FrameSet(10e-9, -5e-9, 8e-9, 8e-9, 0))
ask(*client.Scan_SpeedSet(0, 0, 0.5, 0.5, 2, 1))
ask(*client.Scan_Action(0, 1))
found["running"] = ask(*reader.Scan_StatusGet())[0]
found["file"] = ask(*client.Scan_WaitEndOfScan(-1))[2]
grabbed = ask(*client.Scan_FrameDataGrab(z, 1))
found["frame"] = [grabbed[1], grabbed[2], grabbed[3], int(np.isfinite(grabbed[4]).sum())]
found["direction"] = grabbed[5]

ask(*client.Bias_Pulse(1, 0.05, 4.0, 1, 2))
found["bias_after_pulse_v"] = ask(*client.Bias_Get())[0]

shape = [0.1, 1, 0.1, -1e-9, 0.1, 0.02, 0.1, 4e-9, 0.1, 0.1, 1]
ask(*client.TipShaper_PropsSet(*shape))
found["shape"] = ask(*client.TipShaper_PropsGet())
ask(*client.TipShaper_Start(1, -1))
found["feedback_after_shaping"] = ask(*client.ZCtrl_OnOffGet())[0]

ask(*client.ZCtrl_Withdraw(1, -1))
found["feedback_withdrawn"] = ask(*client.ZCtrl_OnOffGet())[0]
ask(*client.Motor_StartMove(4, 20, 0, 1))
found["steps"] = ask(*client.Motor_StepCounterGet(0, 0, 0))
ask(*client.AutoApproach_Open())
ask(*client.AutoApproach_OnOffSet(1))
started = time.monotonic()
while ask(*client.AutoApproach_OnOffGet())[0] and time.monotonic() - started < 20:
    time.sleep(0.01)
found["feedback_after_approach"] = ask(*client.ZCtrl_OnOffGet())[0]
with contextlib.redirect_stdout(sys.stderr):  # it prints the errors that it finds
    found["unknown_signal"] = client.Signals_ValGet(500, 0)[0]
json.dump(found, sys.stdout)
