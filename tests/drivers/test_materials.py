"""What tips and surfaces bear narrows the envelope and never widens it."""

from __future__ import annotations

from typing import get_args

import pytest

from drivers.envelope import Limits
from drivers.materials import Surface, TipMaterial, borne


def test_what_is_unknown_narrows_nothing():
    assert borne(Limits()) == Limits()
    assert borne(Limits(), "unknown", "metal") == Limits()


@pytest.mark.parametrize("surface", get_args(Surface))
@pytest.mark.parametrize("tip", get_args(TipMaterial))
def test_the_narrower_of_tip_and_surface_counts(tip: TipMaterial, surface: Surface):
    both, one, other = (
        borne(Limits(), *pair) for pair in ((tip, surface), (tip, "unknown"), ("unknown", surface))
    )
    assert both == one.narrowest(other)
    assert Limits().narrowest(both) == both


def test_known_figures():
    assert borne(Limits(), "qplus").max_depth_nm == 0.3
    assert borne(Limits(), "ptir").max_pulse_v == 3.0
    assert borne(Limits(), "w", "hsi100").max_pulse_v == 4.0
    assert borne(Limits(), "w", "hsi100").max_depth_nm == 1.0


def test_limits_that_are_narrower_already_stay():
    assert borne(Limits(max_pulse_v=1.0), "w").max_pulse_v == 1.0
