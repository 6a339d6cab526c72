"""What happens to pictures on their way: nothing that hides what they show or where they end."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.scan import Image
from policies.training import varying
from policies.training.varying import toned, varied


def terraces() -> Image:
    """Two terraces with line offsets; the last lines were not scanned."""
    z = np.zeros((40, 64), np.float32)
    z[:, 32:] = 0.2e-9
    z += np.linspace(0, 0.1e-9, 40, dtype=np.float32)[:, None]
    z[30:] = np.nan
    return z


@pytest.mark.parametrize("share", ["SMOOTHED", "NOISED"])
def test_what_was_not_scanned_stays_so_and_terraces_stay(
    share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(varying, "SMOOTHED", 0.0)
    monkeypatch.setattr(varying, "NOISED", 0.0)
    monkeypatch.setattr(varying, share, 1.0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        z = terraces()
        forward, backward = varied(rng, [z, z + np.float32(1e-12)])
        for changed in (forward, backward):
            assert changed.dtype == np.float32
            assert np.array_equal(np.isnan(changed), np.isnan(z))
            step = np.median(changed[:30, 48:] - changed[:30, :16], axis=1)
            assert step == pytest.approx(0.2e-9, abs=0.03e-9)
        assert not np.array_equal(forward, z, equal_nan=True)


def test_noise_is_another_one_on_the_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varying, "SMOOTHED", 0.0)
    monkeypatch.setattr(varying, "NOISED", 1.0)
    z = terraces()
    forward, backward = varied(np.random.default_rng(2), [z, z])
    assert not np.array_equal(forward[:30], backward[:30])


def test_most_pictures_are_left_as_they_are() -> None:
    rng, z = np.random.default_rng(3), terraces()
    alike = [np.array_equal(varied(rng, [z])[0], z, equal_nan=True) for _ in range(400)]
    assert 0.45 < np.mean(alike) < 0.67


def test_another_tone_keeps_order_and_ends() -> None:
    grey = np.arange(256, dtype=np.float32)
    for seed in range(10):
        other = toned(np.random.default_rng(seed), grey)
        assert (other[0], other[-1]) == pytest.approx((0, 255))
        assert (np.diff(other) > 0).all()
