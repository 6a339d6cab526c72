"""One scan of a data set, and what its tip was really like."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from drivers.scan import Scan, ScanSettings
from sim.dataset.kinds import draw_kind
from sim.dataset.settings import DatasetSettings
from sim.tips.blocks import Good
from sim.tips.tip import Tip
from sim.world import World

NM = 1e-9

#: How long the scanner creeps before a scan, after it was moved to the frame.
SETTLE_S = 60.0

Label = dict[str, object]


@dataclass(frozen=True, slots=True)
class Example:
    """A scan and its label, ready for JSON."""

    scan: Scan
    label: Label


def make_example(settings: DatasetSettings, index: int) -> Example:
    """Scan number ``index``: the same for the same settings, whatever else is made."""
    rng = np.random.default_rng([settings.seed, index])
    preset = settings.preset
    before = draw_kind(rng, preset, settings.tip)
    world_seed = int(rng.integers(2**31))
    reach = settings.reach_nm()
    x, y = rng.uniform(-reach, reach, 2)
    wanted = settings.scan(float(x), float(y))
    world = World(preset, world_seed, before)
    frame = wanted.frame
    world.move(frame.x_m, frame.y_m, preset.controller.move_nm_per_s * NM)
    world.advance(SETTLE_S)
    scan = replace(
        world.scan(wanted),
        source=f"sim:{settings.surface}",
        comment=f"simulated: {preset.title}; seed {settings.seed}, scan {index}",
    )
    label: Label = {"index": index, "kind": str(settings.tip), "world_seed": world_seed}
    label |= describe(before, world.tip, preset.good) | _frame(wanted)
    return Example(
        scan, label | {"surface": settings.surface, "good_definition": preset.good_definition}
    )


def describe(before: Tip, after: Tip, good: Good) -> Label:
    """What is true of a tip that scanned, and whether it was good all the while."""
    changed = not after.same_apex(before)
    ends = (before, after)
    states = {
        "blunt": any(tip.radius_nm >= good.max_radius_nm for tip in ends),
        "double": any(tip.gap_nm <= good.min_gap_nm for tip in ends),
        "unstable": not all(tip.stable for tip in ends),
        "contaminated": not all(tip.clean for tip in ends),
        "changed": changed,
    }
    return {
        "good": all(tip.is_good(good) for tip in ends),
        "states": states,
        "tip": _tip(before),
        "tip_after": _tip(after) if changed else None,
    }


def _tip(tip: Tip) -> Label:
    flicker = tip.flicker
    return {
        "radius_nm": tip.radius_nm,
        "gap_nm": tip.gap_nm if math.isfinite(tip.gap_nm) else None,
        "apexes": [
            {"dx_nm": apex.dx_nm, "dy_nm": apex.dy_nm, "gap_nm": apex.gap_nm} for apex in tip.apexes
        ],
        "termination": str(tip.termination),
        "stable": tip.stable,
        "decay_per_nm": tip.decay_per_nm,
        "switching": None
        if flicker is None
        else {
            "out_hz": flicker.out_hz,
            "back_hz": flicker.back_hz,
            "height_nm": flicker.height_nm,
            "dx_nm": flicker.dx_nm,
            "dy_nm": flicker.dy_nm,
        },
    }


def _frame(wanted: ScanSettings) -> Label:
    frame = wanted.frame
    return {
        "frame": {
            "x_nm": frame.x_m / NM,
            "y_nm": frame.y_m / NM,
            "size_nm": frame.width_m / NM,
            "pixels": wanted.pixels,
        },
        "bias_v": wanted.at.bias_v,
        "setpoint_pa": wanted.at.setpoint_a * 1e12,
        "forward_s": wanted.forward_s,
    }
