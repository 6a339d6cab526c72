"""A bank of made-up reports that tell the truth, and events to put histories together from."""

from __future__ import annotations

import itertools

import numpy as np

from drivers import Frame, Indentation, Limits, Outcome, Pulse, RetuneFeedback, TunnellingPoint
from drivers.actions import Action
from drivers.sample_map import Site
from policies.conditioner.catalogue import Means, Situation
from policies.history import Acted, Looked
from policies.report import ImageState, TipReport, TipState
from policies.training.bank import COLUMNS, Bank, Gathered, View, described
from policies.training.tips import draw_tips
from sim.presets.preset import Preset, load_preset
from sim.tips.tip import Tip

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
FRAME = Frame(x_m=0.0, y_m=0.0, width_m=24e-9, height_m=24e-9)
PRESET = load_preset("au111")
USUAL = RetuneFeedback(p_gain_m=30e-12, time_constant_s=400e-6)
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
PULSE = Pulse(at=AT, bias_v=-5.0, width_s=0.2)


def means(**narrower: float) -> Means:
    return Means(AT, Limits().narrowed(**narrower), (800e-9, 800e-9), USUAL)


def situation(contact_nm: float | None = None, **others: object) -> Situation:
    """A situation in which nothing is unusual but what is said."""
    usual: dict[str, object] = {
        "trouble": None,
        "remedies": 0,
        "area_left": 1.0,
        "waited": False,
        "strongest_v": 0.0,
        "spoiled": False,
    }
    return Situation(contact_nm, **(usual | others))  # type: ignore[arg-type]


def report(quality: float = 0.1, **sure: float) -> TipReport:
    """A report with some states or image states surer than the others."""
    tip = {state: sure.get(state.value, 0.1) for state in TipState}
    image = {state: sure.get(state.value, 0.1) for state in ImageState}
    return TipReport(quality, tip, 96, image=image)


def looked(seen: TipReport | None = None, time_s: float = 0.0) -> Looked:
    return Looked(FRAME, seen or report(), Site(0.0, 0.0, 20e-9), time_s)


def acted(action: Action, jump_m: float | None = None, time_s: float = 0.0) -> Acted:
    return Acted(action, 0.0, 0.0, Outcome(time_s, time_s + 1, z_jump_m=jump_m))


def honest_view(tip: Tip, preset: Preset) -> View:
    """What a scorer that sees everything says."""
    good = preset.good
    sure = {
        "double": tip.gap_nm <= good.min_gap_nm,
        "blunt": tip.radius_nm >= good.max_radius_nm,
        "unstable": not tip.stable,
        "contaminated": not tip.clean,
    }
    seen = report(
        0.97 if tip.is_good(good) else 0.03, **{name: 0.9 * on + 0.05 for name, on in sure.items()}
    )
    return View(seen, 15e-9)


def honest_bank(tips: int = 400, seed: int = 0) -> Bank:
    """Every tip looked at on two spots, both telling the same."""
    drawn = list(itertools.islice(draw_tips(np.random.default_rng(seed), PRESET), tips))
    numbers = np.stack([described(tip) for tip in drawn])
    views = np.empty((tips, 2, 2, COLUMNS), np.float32)
    views[:] = np.array([honest_view(tip, PRESET).numbers() for tip in drawn])[:, None, None]
    return Bank(Gathered(numbers, views, numbers[:50], views[:50, :1]))
