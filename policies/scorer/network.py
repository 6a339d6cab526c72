"""The network of the scorer: one part looks at the scan as a whole, the other reads its lines."""

from __future__ import annotations

from torch import nn

from policies.scorer.line_network import LineNetwork
from policies.scorer.picture_network import PictureNetwork


class ScorerNetwork(nn.Module):
    """Both parts under one roof; they share nothing but their teacher.

    What decides between good and nearly good, the ghost beside an adatom, is seen best in the
    picture as a whole; that something changed is seen at once, line by line.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture = PictureNetwork()
        self.lines = LineNetwork()
