"""Where the metal is, read from recorded indentations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers import Frame, Indentation, Outcome, ScanSettings, Trace, TunnellingPoint
from policies.conditioner.contact import QUANTUM_S, contact_depth_m
from sim.presets.preset import load_preset
from sim.world import World

AT = TunnellingPoint(bias_v=0.5, setpoint_a=50e-12)
DIP = Indentation(at=AT, depth_m=1.2e-9, lift_m=3e-9)


def coarse(contact_nm: float | None) -> Outcome:
    """Five samples: too few to show how the current rises."""
    depths = np.array([0.0, 0.5, 1.0, 1.5, 2.0])
    met = depths >= (np.inf if contact_nm is None else contact_nm)
    current = np.where(met, -1e-8, -5e-11).astype(np.float32)
    z = (30 - depths).astype(np.float32) * np.float32(1e-9)
    return Outcome(0.0, 1.0, trace=Trace(np.arange(5.0), current, z))


def exponential(contact_nm: float, decay_per_nm: float, depth_nm: float, clip_a: float) -> Trace:
    """The rise of the current on the way down, and the way up after it, clipped."""
    depths = np.concatenate([np.linspace(0, depth_nm, 200), np.linspace(depth_nm, -1, 300)])
    conductance = np.exp(-decay_per_nm * np.maximum(contact_nm - depths, 0)) * QUANTUM_S
    current = np.minimum(conductance * DIP.contact_bias_v, clip_a).astype(np.float32)
    # Heights are kept in single precision: some nm from zero that is still far below a pm.
    return Trace(np.arange(500.0), current, ((3 - depths) * 1e-9).astype(np.float32))


@pytest.mark.parametrize(
    ("outcome", "depth_nm"),
    [
        (coarse(1.5), 1.5),
        (coarse(None), None),
        (Outcome(0.0, 1.0, z_jump_m=-0.2e-9), 1.2),
        (Outcome(0.0, 1.0, z_jump_m=5e-12), None),
        (Outcome(0.0, 1.0), None),
    ],
)
def test_without_a_rise_a_jump_in_current_or_in_z_tells(
    outcome: Outcome, depth_nm: float | None
) -> None:
    depth_m = contact_depth_m(DIP, outcome)
    assert depth_m == (None if depth_nm is None else pytest.approx(depth_nm * 1e-9, rel=1e-4))


@given(
    # From a tenth to ten times the usual tunnelling conductance.
    decays=st.floats(11, 16),
    decay_per_nm=st.floats(10, 26),
    depth_nm=st.floats(0.3, 2.5),
    clip_a=st.sampled_from([1e-9, 1e-8, 1e-7]),
)
def test_the_rise_leads_on_to_contact_whatever_clips(
    decays: float, decay_per_nm: float, depth_nm: float, clip_a: float
) -> None:
    contact_nm = decays / decay_per_nm
    trace = exponential(contact_nm, decay_per_nm, depth_nm, clip_a)
    found_m = contact_depth_m(DIP, Outcome(0.0, 1.0, trace=trace))
    highest_a = min(
        clip_a,
        QUANTUM_S * DIP.contact_bias_v * math.exp(-decay_per_nm * max(contact_nm - depth_nm, 0)),
    )
    if highest_a > 0.5e-9:
        assert found_m == pytest.approx(contact_nm * 1e-9, abs=15e-12)
    if found_m is not None:
        assert found_m == pytest.approx(contact_nm * 1e-9, abs=60e-12)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("depth_nm", [0.7, 1.5])
def test_agrees_with_the_simulated_gap(seed: int, depth_nm: float) -> None:
    world = World(load_preset("au111"), seed)
    frame = Frame(x_m=0, y_m=0, width_m=10e-9, height_m=10e-9)
    settings = ScanSettings(frame=frame, pixels=16, lines=2, forward_s=0.1, backward_s=0.1, at=AT)
    list(world.lines(settings))
    # At the tunnelling point the gap follows from conductance and decay.
    decay_per_nm = world.tip.decay_per_nm
    gap_nm = math.log(QUANTUM_S * AT.bias_v / AT.setpoint_a) / decay_per_nm
    expected_nm = world.latents.contact_depth_nm(gap_nm)
    dip = Indentation(at=AT, depth_m=depth_nm * 1e-9, lift_m=5e-9)
    found_m = contact_depth_m(dip, world.apply(dip))
    if found_m is not None:
        assert found_m == pytest.approx(expected_nm * 1e-9, abs=30e-12)
    else:
        assert depth_nm < 0.75 * expected_nm
