"""The median of nine is scipy's, whatever the picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from drivers.smoothing import median_of_nine

SHAPES = arrays.array_shapes(min_dims=2, max_dims=2, max_side=9)
# Few values, so that many are the same; a wrong rank shows at once.
VALUES = st.sampled_from([-2e-9, -1e-12, 0.0, 1e-12, 3e-10, 5e-9])


@given(arrays.arrays(np.float32, SHAPES, elements=VALUES.map(np.float32)))
def test_it_is_the_median_of_a_pixel_and_its_neighbours(picture: np.ndarray) -> None:
    kept = picture.copy()
    expected = ndimage.median_filter(picture, size=3, mode="nearest")
    found = median_of_nine(picture)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert np.array_equal(picture, kept)
