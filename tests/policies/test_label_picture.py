"""The pictures on the labelling page: scale, levelling, and scans there is little to draw of."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from drivers import Scan
from policies.labelling.picture import VIEWS, draw, without_plane
from policies.labelling.sheet import Sheet


def sheet(forward: np.ndarray, backward: np.ndarray | None = None) -> Sheet:
    return Sheet("a.sxm", scan=Scan(forward=forward, backward=backward))


def pixels(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as picture:
        return np.asarray(picture.convert("RGBA"))


@pytest.mark.parametrize("view", VIEWS)
def test_what_was_not_scanned_is_transparent(view) -> None:
    z = np.random.default_rng(0).normal(0, 1e-11, (12, 20)).astype(np.float32)
    z[7:] = np.nan
    alpha = pixels(draw(sheet(z), 0, view))[:, :, 3]
    assert alpha.shape == (12, 20)
    assert (alpha[:7] == 255).all()
    assert (alpha[7:] == 0).all()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 16), (16, 1), (16, 16)])
def test_scans_without_relief_are_no_crash(view, value, shape) -> None:
    z = np.full(shape, value, np.float32)
    assert pixels(draw(sheet(z, z), 1, view)).shape == (*shape, 4)


def test_only_the_plane_view_shows_that_all_lines_moved() -> None:
    wave = 20e-12 * np.sin(np.arange(32))
    z = np.tile(wave, (32, 1)).astype(np.float32)
    z[16:] += 100e-12
    steps = {}
    for view in VIEWS:
        green = pixels(draw(sheet(z), 0, view))[:, :, 1].astype(float)
        steps[view] = abs(green[8].mean() - green[24].mean())
    assert steps["lines"] < 2
    assert steps["plane"] > 40


def test_the_plane_goes_and_picometres_on_micrometres_stay() -> None:
    relief = np.random.default_rng(0).normal(0, 20e-12, (32, 32))
    rows, columns = np.indices(relief.shape)
    tilted = (relief + 1e-9 * rows - 2e-9 * columns).astype(np.float32)
    flat = without_plane(tilted)
    assert np.abs(flat - without_plane(relief.astype(np.float32))).max() < 5e-12


def test_forward_and_backward_share_one_scale() -> None:
    z = np.random.default_rng(0).normal(0, 1e-11, (32, 32)).astype(np.float32)
    calm = pixels(draw(sheet(z, 0.2 * z + 1e-9), 1, "plane"))[:, :, 1]
    full = pixels(draw(sheet(z, z), 1, "plane"))[:, :, 1]
    assert np.ptp(np.percentile(calm, (5, 95))) < 0.5 * np.ptp(np.percentile(full, (5, 95)))


def test_there_is_no_third_picture() -> None:
    with pytest.raises(ValueError, match="has 1 pictures"):
        draw(sheet(np.zeros((4, 4), np.float32)), 1, "lines")
