"""The agent of DeepSPM (Krull et al., Commun. Phys. 3, 54 (2020)) in our trials.

Its table: stall, pulses of +2.5, +4, -2.5, -4 and -8 V for 200 ms, indentations of 0.8, 1.0, 1.2,
1.8, 2.5 and 5.0 nm at 20 mV, 200 ms down and in contact. The pulse of +8 V that the table also
holds asks for 100 nm of clean surface within a scan of 10 nm, so that the authors' code never
allows it. A stall is a short wait here, after which another spot is looked at; like theirs it
counts as an action. What the envelope or the spot does not allow is masked; how much clean surface
an action needs is our rule for all, where theirs asks for 0 to 4 nm.

Which of them, a Q-network says from the last image alone; see ``deepspm_network``. Their weights
are not public, ours are trained by ``tipsmith train deepspm``. The tip is good when one whole image
is, with a probability of at least 0.9; the classifier is our scorer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from drivers.actions import Action, TunnellingPoint, Wait
from drivers.envelope import Limits
from drivers.sample_map import Site, spoiled_diameter_m
from drivers.scan import Scan
from policies.acceptance import OneImage
from policies.conditioner.doing import indentation, pulse
from policies.conditioner.rules.deepspm_network import (
    DEPTHS_NM,
    NAMES,
    PULSE_S,
    PULSES_V,
    STALL_S,
    Picture,
    QNetwork,
    picture,
)
from policies.history import History, last_look
from policies.legal import passes
from policies.proposal import GiveUp, Proposal

QUALITY = 0.9


class Table:
    """The actions, in the order of the network's outputs, and which of them are allowed.

    Args:
        at: tunnelling point of the actions.
        limits: the envelope.
    """

    def __init__(self, at: TunnellingPoint, limits: Limits) -> None:
        pulses = [pulse(at, height, PULSE_S, limits) for height in PULSES_V]
        dips = [indentation(at, depth, limits) for depth in DEPTHS_NM]
        self.actions: tuple[Action, ...] = (Wait(seconds=STALL_S), *pulses, *dips)
        self._legal = np.array([passes(action, limits) for action in self.actions])
        self._needed_m = np.array([spoiled_diameter_m(action) for action in self.actions])

    def mask(self, site: Site | None) -> NDArray[np.bool_]:
        """What the envelope allows and the spot is wide enough for, shape (actions,).

        Without a spot only the envelope counts: whatever is wanted, another spot is looked for.
        """
        if site is None:
            return self._legal.copy()
        allowed: NDArray[np.bool_] = self._legal & (self._needed_m <= site.clear_m)
        return allowed


class DeepSPM:
    """The action of the highest value in the last image; it has to be shown every scan.

    Args:
        network: tells the values.
        table: the actions.
    """

    def __init__(self, network: QNetwork, table: Table) -> None:
        self._network, self._table = network, table
        self._seen: Picture | None = None

    def see(self, scan: Scan) -> None:
        """Take note of the last scan."""
        self._seen = picture(scan)

    def propose(self, history: History) -> Proposal:
        """The best action allowed; gives up where there is none.

        Raises:
            ValueError: it has not seen a scan.
        """
        if self._seen is None:
            raise ValueError("DeepSPM chooses from an image and was shown none; call see first")
        mask = self._table.mask(last_look(history).site)
        if not mask.any():
            return Proposal(GiveUp(), "the limits allow none of the actions")
        best = self._network.best(self._seen, mask)
        return Proposal(self._table.actions[best], f"{NAMES[best]}, of the highest value")


def acceptance() -> OneImage:
    """As published: one whole image."""
    return OneImage(QUALITY)
