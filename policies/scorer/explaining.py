"""Where in a scan the judgement comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn.functional import interpolate

from drivers.scan import Image, Scan, ScanLine
from policies.report import TipReport, TipState
from policies.scorer.lines import Setting
from policies.scorer.outputs import NAMES
from policies.scorer.preprocess import prepare, squared
from policies.scorer.scorer import Scorer

#: Deviation of the blur that turns single pixels into places, in points of the picture.
BLUR_POINTS = 2.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What in a scan speaks for its most probable trouble, or for a good tip.

    Attributes:
        shown: what the map is about; None stands for a good tip.
        heat: how much each pixel counts, 0..1, NaN where not scanned; shape of the scan.
        changed_line: line, counted from the first that was scanned, from which on the tip seems to
            be another; None if it stayed.
    """

    shown: TipState | None
    heat: Image
    changed_line: int | None


def explain(scorer: Scorer, scan: Scan, report: TipReport) -> Explanation:
    """Explain the judgement of a scan that could be judged.

    The map is the product of input and gradient (Shrikumar, Greenside and Kundaje, ICML 2017),
    summed over the pictures and blurred: how much less of the trouble there would be without what
    is seen at a pixel. The protrusions and the lines, which the network sees apart, are not in it.

    Raises:
        ValueError: the scan holds no data.
    """
    shown = None if report.quality >= 0.5 else report.worst
    output = 0 if shown is None else NAMES.index(shown)
    heat = _heat(scorer, scan, output)
    return Explanation(shown, _on_scan(heat, scan), _changed_line(scorer, scan))


def _heat(scorer: Scorer, scan: Scan, output: int) -> NDArray[np.float32]:
    network, one = scorer.network, prepare(scan)
    pictures = torch.from_numpy(one.pictures)[None].requires_grad_()
    rest = (torch.from_numpy(array)[None] for array in (one.protrusion, one.numbers))
    # What the lines say stays as it is: they are not what the map is about.
    read = scorer.features(scan).lines.clone()[None]
    logits, _ = network.judged(network.picture(pictures, *rest), read)
    (gradient,) = torch.autograd.grad(logits[0, :, output].mean(), pictures)
    # The mask, the last of the pictures, says what was scanned and not what was seen.
    parts = (gradient * pictures.detach())[0, :-1].sum(dim=0).abs().numpy()
    heat: NDArray[np.float32] = ndimage.gaussian_filter(parts, BLUR_POINTS)
    return heat


def _on_scan(heat: NDArray[np.float32], scan: Scan) -> Image:
    """The map in the shape of the scan, brightest at 1."""
    lines = len(scan.forward)
    whole = squared(scan).forward.shape
    full = interpolate(torch.from_numpy(heat)[None, None], size=whole, mode="bilinear")
    # The network sees the lines in the order of time.
    mapped: Image = full[0, 0].numpy()[:lines]
    if scan.direction == "up":
        mapped = mapped[::-1]
    mapped = np.where(np.isfinite(scan.forward), mapped, np.float32(np.nan))
    return (mapped / max(float(np.nanmax(mapped)), 1e-12)).astype(np.float32)


def _changed_line(scorer: Scorer, scan: Scan) -> int | None:
    stream = scorer.stream(Setting.of(scan))
    order = slice(None, None, -1 if scan.direction == "up" else 1)
    backward = None if scan.backward is None else scan.backward[order]
    for index, forward in enumerate(scan.forward[order]):
        way_back = None if backward is None else np.nan_to_num(backward[index])
        stream.read(ScanLine(index, index, forward, way_back, 0.0))
    return stream.changed_line
