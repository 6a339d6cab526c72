"""One scan of a data set, and what its tip was really like.

The label of a scan is a line of ``labels.jsonl``, an object with

- ``files``: path of its files in the data set, without the ending; ``index``: its number;
- ``kind``: the kind of tip that was asked for; ``world_seed``: seed of the world it was taken in;
- ``good``: whether the tip was good all the while, by ``good_definition``, a fingerprint of the
  preset's definition; it is exactly when none of the ``states`` is true;
- ``states``, each true if it held before or after the scan: ``blunt`` and ``double`` by the limits
  of the preset, ``unstable``, ``contaminated`` (it did not end in bare metal; CO is none), and
  ``changed`` (the apex before is not the one after);
- ``tip`` before the scan, and ``tip_after``, null if it did not change: ``radius_nm`` of the metal,
  ``gap_nm`` to its first minor apex, ``apexes``, all of these (where they sit beside the first and
  how much shorter they are), ``termination`` (clean, weak, strong, co or molecule), ``adsorbate``
  (the molecule it ends in: ``radius_nm``, ``ahead_nm`` of the metal, ``lobes`` placed like apexes;
  null if there is none), ``stable``, ``decay_per_nm`` of the current, and ``switching`` between two
  configurations: rates out and back (Hz), and how far the second is off; null if there is none;
- ``frame``: its centre, side and pixels; ``bias_v`` of the sample, ``setpoint_pa``, ``forward_s``,
  the time of a forward line; ``surface``: name of the preset.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from drivers.scan import Scan, ScanSettings
from sim.dataset.kinds import draw_kind
from sim.dataset.settings import DatasetSettings
from sim.tips.blocks import Good
from sim.tips.tip import Adsorbate, Apex, Tip
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
    """Scan number ``index``: the same for the same settings, whatever else is made.

    The name of the preset is part of the seed: the same seed has other tips, frames and debris on
    another surface.
    """
    preset = settings.preset
    rng = np.random.default_rng([settings.seed, index, zlib.crc32(preset.name.encode())])
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
        source=f"sim:{preset.name}",
        comment=f"simulated: {preset.title}; seed {settings.seed}, scan {index}",
    )
    label: Label = {"index": index, "kind": str(settings.tip), "world_seed": world_seed}
    label |= describe(before, world.tip, preset.good) | _frame(wanted)
    return Example(
        scan, label | {"surface": preset.name, "good_definition": preset.good_definition}
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
        "apexes": _apexes(tip.apexes),
        "termination": str(tip.termination),
        "adsorbate": _adsorbate(tip.adsorbate),
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


def _apexes(apexes: Sequence[Apex]) -> list[Label]:
    return [{"dx_nm": apex.dx_nm, "dy_nm": apex.dy_nm, "gap_nm": apex.gap_nm} for apex in apexes]


def _adsorbate(molecule: Adsorbate | None) -> Label | None:
    if molecule is None:
        return None
    return {
        "radius_nm": molecule.radius_nm,
        "ahead_nm": molecule.ahead_nm,
        "lobes": _apexes(molecule.lobes),
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
