"""What a repair remembers: looks and actions in their order, and what they add up to.

Everything a policy or an acceptance may know stands here; pictures do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from drivers.actions import Action, CoarseMove, Indentation, MoveTo, Pulse
from drivers.outcome import Outcome
from drivers.sample_map import SampleMap, Site, spoiled_diameter_m
from drivers.scan import Frame
from policies.before import NOTHING, Before
from policies.report import TipReport

#: Share of the piezo range that is used; at its very edge a controller may refuse a frame.
USABLE = 0.95


@dataclass(frozen=True, slots=True)
class Imprint:
    """The mound that an action left, as a scan of its place shows it.

    Attributes:
        area_m2: area within the contour (m^2).
        circularity: 4 pi area / perimeter^2; 1 for a disc.
        axis_ratio: shorter over longer axis of the ellipse with the same moments; 1 for a disc.
    """

    area_m2: float
    circularity: float
    axis_ratio: float


@dataclass(frozen=True, slots=True)
class Looked:
    """A scan was taken and judged.

    Attributes:
        frame: where.
        report: the scorer's judgement.
        site: the best flat spot in it, or None.
        finished_s: instrument time at its end (s).
        agreement: correlation of the way there with the way back, or None if one is missing.
        of_imprint: whether it was taken where the last action had happened.
        imprint: what it shows of the mark of that action; None if nothing, or taken elsewhere.
    """

    frame: Frame
    report: TipReport
    site: Site | None
    finished_s: float
    agreement: float | None = None
    of_imprint: bool = False
    imprint: Imprint | None = None


@dataclass(frozen=True, slots=True)
class Acted:
    """An action was carried out.

    Attributes:
        action: what was done.
        x_m: where (m).
        y_m: where (m).
        outcome: what it did.
    """

    action: Action
    x_m: float
    y_m: float
    outcome: Outcome


Event = Looked | Acted
History = Sequence[Event]


def actions(history: History) -> Iterator[Acted]:
    """The actions, first to last."""
    return (event for event in history if isinstance(event, Acted))


def looks_since_action(history: History) -> list[Looked]:
    """The looks at the present tip, last to first."""
    looks: list[Looked] = []
    for event in reversed(history):
        if not isinstance(event, Looked):
            break
        looks.append(event)
    return looks


def last_look(history: History) -> Looked:
    """The newest look.

    Raises:
        ValueError: there has been none.
    """
    for event in reversed(history):
        if isinstance(event, Looked):
            return event
    raise ValueError("the history holds no look; a policy is asked only after one")


def elapsed_s(history: History) -> float:
    """Instrument time from the first event to the last (s)."""
    last, first = history[-1], history[0]
    finished = last.finished_s if isinstance(last, Looked) else last.outcome.finished_s
    started = first.finished_s if isinstance(first, Looked) else first.outcome.started_s
    return finished - started


def position(history: History) -> tuple[float, float]:
    """Where the tip stands (m)."""
    for event in reversed(history):
        match event:
            case Looked():
                return event.frame.x_m, event.frame.y_m
            case Acted(action=MoveTo() | Pulse() | Indentation()):
                return event.x_m, event.y_m
    return 0.0, 0.0


def sample_map(
    history: History, range_m: tuple[float, float], before: Before = NOTHING
) -> SampleMap:
    """The book of the sample that ``history`` adds up to; a coarse move starts a new page."""
    width_m, height_m = USABLE * range_m[0], USABLE * range_m[1]
    book = SampleMap(width_m, height_m)
    for x_m, y_m, diameter_m in before.touched:
        book.touch(x_m, y_m, diameter_m)
    for event in history:
        match event:
            case Looked():
                book.look(event.frame)
            case Acted(action=CoarseMove()):
                book = SampleMap(width_m, height_m)
            case Acted(action=Pulse() | Indentation()):
                book.touch(event.x_m, event.y_m, spoiled_diameter_m(event.action))
    return book


def area_left(history: History, range_m: tuple[float, float]) -> float:
    """Share of the usable piezo field that no action has spoiled, 0..1."""
    return 1 - sample_map(history, range_m).touched_share()
