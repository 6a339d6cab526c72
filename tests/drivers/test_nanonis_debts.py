"""What a driver has changed outlives it: killed anywhere, the next one puts it back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from typing import Any

import async_solipsism
import numpy as np
import pytest

from drivers.actions import Approach, Indentation, MoveTo, Pulse, TunnellingPoint
from drivers.errors import FileError, InstrumentError
from drivers.microscope import Debts, Lends
from drivers.nanonis.codes import Switch
from drivers.nanonis.debts import DebtBook
from drivers.nanonis.microscope import NanonisMicroscope, open_nanonis
from drivers.registry import Address
from tests.drivers.nanonis_fake import AT, PORT, SCAN, Controller, meet, whole_scan

PULSE = Pulse(at=AT, bias_v=4.0, width_s=0.1, z_offset_m=5e-10, feedback="held")
DIP = Indentation(at=AT, depth_m=1e-9, lift_m=3e-9)
MOVE = MoveTo(x_m=1e-9, y_m=0.0, speed_m_per_s=1e-8)
APPROACH = Approach(at=AT, max_steps=20, timeout_s=60)
#: What has to be in the account when a command arrives.
ACCOUNTS = {"Bias.Set": "point", "ZCtrl.SetpntSet": "point"}
FREE = {"ZCtrl.OnOffSet", "ZCtrl.ZPosSet", "AutoApproach.OnOffSet", "FolMe.XYPosSet"}


class Account:
    """Keeps what is owed as a journal does, until its program is killed."""

    def __init__(self) -> None:
        self.debts: dict[str, Any] = {}
        self.dead = False

    async def keep(self, changes: Debts) -> None:
        if self.dead:
            return
        for name, debt in json.loads(json.dumps(changes)).items():
            self.debts[name] = debt
            if debt is None:
                del self.debts[name]


class Killing(Controller):
    """Hears nothing more from its first client after so many commands that do something."""

    def __init__(self, after: int = 10_000, *, safe_tip: Switch = Switch.ON) -> None:
        super().__init__()
        self.store["SafeTip.OnOff"]["status"] = safe_tip
        self.store["Bias."]["bias_v"] = 0.88  # two steps from that of the scan, and a rest
        self.account = Account()
        self.left = after
        self.closing = False
        self.unkept: list[str] = []

    async def answer(self, port: int, name: str, body: bytes) -> bytes:
        if self.account.dead:
            raise ConnectionResetError
        if not name.endswith(("Get", "Grab")):
            self._check(name)
            if self.left == 0:
                self.account.dead = True
                raise ConnectionResetError
            self.left -= 1
        return await super().answer(port, name, body)

    def _check(self, name: str) -> None:
        owed = self.account.debts
        needs = {ACCOUNTS.get(name, name.removesuffix("Set"))}
        if name == "SafeTip.OnOffSet":
            needs = {"safe_tip", "SafeTip.OnOff"}
        if name.endswith("Set") and name not in FREE and not needs & owed.keys():
            self.unkept.append(name)


async def connect(query: str) -> NanonisMicroscope:
    address = Address.parse(f"nanonis://127.0.0.1:{PORT}?z_retract=Z%2B&{query}")
    return await open_nanonis(address)


async def night(microscope: NanonisMicroscope) -> None:
    """Whatever borrows something."""
    await whole_scan(microscope, SCAN)
    for action in (MOVE, PULSE, DIP):
        await microscope.perform(action)


async def first_program(fake: Killing, query: str) -> None:
    """One that is killed: nothing of what it does after that gets anywhere."""
    microscope = await connect(query)
    await microscope.account_to(fake.account.keep)
    try:
        await night(microscope)
        fake.closing = True
        await microscope.close()
    except InstrumentError:
        assert fake.account.dead
        with pytest.raises(InstrumentError):
            await microscope.close()


async def next_program(fake: Killing, query: str, *, approaches: bool = True) -> None:
    """One that takes up what is owed, as the agent does."""
    fake.account.dead, fake.left, fake.steps_to_contact = False, 10_000, 3
    protected = "safe_tip" in fake.account.debts
    microscope = await connect(query)
    try:
        # One that was at its end has left the tip as meant.
        if not fake.closing:
            await microscope.withdraw()
        fake.log.clear()
        await microscope.take_up(fake.account.debts)
        if protected:
            assert fake.names() == ["SafeTip.OnOffSet"]
            assert fake.log[-1][1] != "SafeTip.OnOffSet"
            assert fake.store["SafeTip.OnOff"]["status"] is Switch.ON
        else:
            assert fake.names() == []
        fake.account.debts = {}  # a journal of its own
        await microscope.account_to(fake.account.keep)
        if approaches:
            if not fake.closing:
                await microscope.perform(APPROACH)
            await whole_scan(microscope, SCAN)
    finally:
        await microscope.close()


def serve(fake: Killing, test: Callable[[], Awaitable[None]]) -> None:
    """Run ``test`` in virtual time while ``fake`` is served."""

    async def main() -> None:
        listeners = [
            await asyncio.start_server(fake.serve, "127.0.0.1", PORT + i) for i in range(3)
        ]
        try:
            await test()
        finally:
            for listener in listeners:
                listener.close()
            if fake.scan_task is not None:
                fake.scan_task.cancel()
            await asyncio.sleep(100)

    with asyncio.Runner(loop_factory=async_solipsism.EventLoop) as runner:
        runner.run(main())


def alike(store: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        group: {
            name: pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
            for name, value in values.items()
        }
        for group, values in store.items()
    }


SETUPS = [("", Switch.ON), ("safe_tip_threshold_pa=800", Switch.OFF)]


def commands_of_a_night(query: str, safe_tip: Switch) -> int:
    fake = Killing(safe_tip=safe_tip)
    found = deepcopy(fake.store)
    serve(fake, lambda: first_program(fake, query))
    assert fake.store == alike(found)
    assert fake.account.debts == {}
    assert fake.unkept == []
    return 10_000 - fake.left


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("query", "safe_tip"), SETUPS)
def test_killed_before_any_command_everything_is_put_back(query, safe_tip):
    for after in range(commands_of_a_night(query, safe_tip)):
        fake = Killing(after, safe_tip=safe_tip)
        found = deepcopy(fake.store)

        async def both(fake: Killing = fake) -> None:
            await first_program(fake, query)
            assert fake.account.dead
            await next_program(fake, query)

        serve(fake, both)
        assert fake.store == alike(found), fake.names()
        assert fake.account.debts == {}
        assert fake.unkept == []


def killed_in(command: str, fake: Killing) -> Killing:
    """Lets ``fake`` die in the middle of ``command``."""
    inner = getattr(fake, "do_" + command.replace(".", "_").lower())

    async def half(**values: Any) -> None:
        await inner(**values)
        fake.account.dead = True
        raise ConnectionResetError

    setattr(fake, "do_" + command.replace(".", "_").lower(), half)

    def whole() -> None:
        setattr(fake, "do_" + command.replace(".", "_").lower(), inner)

    fake.whole = whole
    return fake


@pytest.mark.parametrize("command", ["Bias.Pulse", "TipShaper.Start"])
def test_killed_in_the_middle_of_an_action_safe_tip_is_on_at_once(command):
    fake = killed_in(command, Killing())
    found = deepcopy(fake.store)

    async def both() -> None:
        await first_program(fake, "")
        assert fake.store["SafeTip.OnOff"]["status"] is Switch.OFF
        assert fake.account.debts["safe_tip"] == {
            "before": {"status": "ON"},
            "left": [{"status": "OFF"}],
        }
        fake.whole()
        await next_program(fake, "")

    serve(fake, both)
    assert fake.store == alike(found)


def test_what_was_changed_since_is_left_alone(caplog):
    fake = killed_in("TipShaper.Start", Killing())
    found = deepcopy(fake.store)

    async def both() -> None:
        await first_program(fake, "")
        fake.whole()
        fake.store["Scan.Frame"]["angle_deg"] = 30.0
        fake.store["TipShaper.Props"]["lift_height_m"] = 7e-9
        fake.store["Bias."]["bias_v"] = 0.7
        theirs = deepcopy(fake.store)
        await next_program(fake, "", approaches=False)
        for group in ("Scan.Frame", "TipShaper.Props", "Bias.", "ZCtrl.Setpnt"):
            assert fake.store[group] == alike(theirs)[group]
        for group in ("Scan.Speed", "Scan.Buffer", "Scan.Props", "ZCtrl.TipLift", "SafeTip.OnOff"):
            assert fake.store[group] == alike(found)[group]

    serve(fake, both)
    for what in ("Scan.Frame was", "TipShaper.Props was", "bias and setpoint were"):
        assert f"{what} changed since the run before" in caplog.text
    assert fake.account.debts == {}


def test_a_program_that_is_killed_after_taking_up_hands_on_what_it_took_up():
    fake = killed_in("TipShaper.Start", Killing())
    found = deepcopy(fake.store)

    async def three() -> None:
        await first_program(fake, "")
        fake.whole()
        fake.account.dead = False
        second = await connect("")
        await second.withdraw()
        await second.take_up(fake.account.debts)
        fake.account.debts = {}  # a journal of its own
        await second.account_to(fake.account.keep)
        assert {"point", "Scan.Frame", "TipShaper.Props"} <= fake.account.debts.keys()
        assert "safe_tip" not in fake.account.debts
        fake.account.dead = True
        with pytest.raises(InstrumentError):
            await second.close()
        await next_program(fake, "")

    serve(fake, three)
    assert fake.store == alike(found)


def test_what_cannot_be_kept_is_not_borrowed():
    async def full(debts: Debts) -> None:
        if debts:
            raise FileError("the disk is full")

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON
        await microscope.account_to(full)
        for job in (lambda: microscope.perform(PULSE), lambda: whole_scan(microscope, SCAN)):
            with pytest.raises(FileError, match="disk is full"):
                await job()
        assert fake.names() == []

    meet(test)


def test_a_disk_that_fills_up_does_not_keep_anything_from_being_put_back():
    fake = Controller()
    found = deepcopy(fake.store)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        full: list[bool] = []

        async def keep(_: Debts) -> None:
            if full:
                raise FileError("the disk is full")

        await microscope.account_to(keep)
        await night(microscope)
        full.append(True)

    meet(test, fake)
    assert fake.store == alike(found)


def test_a_safe_tip_that_does_not_come_on_is_told_before_anything_is_done():
    class Stubborn(Controller):
        async def do_safetip_onoffset(self, **_: Any) -> None:
            pass

    async def test(microscope: NanonisMicroscope, fake: Stubborn) -> None:
        owed = {"safe_tip": {"before": {"status": "ON"}, "left": [{"status": "OFF"}]}}
        with pytest.raises(InstrumentError, match="switch it on by hand"):
            await microscope.take_up(owed)
        with pytest.raises(InstrumentError, match="switch it on by hand"):
            await whole_scan(microscope, SCAN)
        assert set(fake.names()) == {"SafeTip.OnOffSet"}
        fake.store["SafeTip.OnOff"]["status"] = Switch.ON

    meet(test, Stubborn())


@pytest.mark.parametrize(
    "debt",
    [{}, {"before": {}, "left": [{}]}, {"before": 3, "left": []}, {"left": [{"lift_m": 0.0}]}],
)
@pytest.mark.parametrize("name", ["ZCtrl.TipLift", "point", "No.Such"])
def test_an_account_that_is_not_understood_is_told_and_dropped(name, debt):
    kept = Account()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.take_up({name: debt})
        await microscope.account_to(kept.keep)
        assert fake.names() == []

    meet(test)
    assert kept.debts == {}


def test_what_a_closed_module_keeps_from_being_looked_at_stays_owed():
    owed = {"TipShaper.Props": {"before": {"tip_lift_m": 1.0}, "left": [{"tip_lift_m": 2.0}]}}
    kept = Account()

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        fake.refuse = {"TipShaper.PropsGet"}
        await microscope.take_up(owed)
        await microscope.account_to(kept.keep)

    meet(test)
    assert kept.debts == owed


def test_it_is_a_lender():
    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        assert isinstance(microscope, Lends)

    meet(test)


def test_numbers_of_numpy_can_be_kept_as_well():
    kept = Account()
    at = TunnellingPoint.model_construct(bias_v=np.float32(1.0), setpoint_a=np.float32(1e-10))
    move = MOVE.model_construct(x_m=1e-9, y_m=0.0, speed_m_per_s=np.float32(1e-8))

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        await microscope.account_to(kept.keep)
        await microscope.perform(move)
        await microscope.perform(DIP.model_copy(update={"at": at}))

    meet(test)
    assert kept.debts == {}


@pytest.mark.parametrize("name", ["point", "safe_tip", "Scan.Frame", "TipShaper.Props"])
def test_what_was_noted_when_the_work_was_cancelled_is_settled_on_closing(name: str):
    kept, fake = Account(), Controller()
    fake.store["SafeTip.OnOff"]["status"] = Switch.ON
    found = deepcopy(fake.store)

    async def test(microscope: NanonisMicroscope, fake: Controller) -> None:
        working = asyncio.current_task()

        async def keep(debts: Debts) -> None:
            await kept.keep(debts)
            if debts.get(name) is not None and not working.cancelling():
                # On the disk by now, and nobody waits for it any more.
                working.cancel()
                await asyncio.sleep(0)

        await microscope.account_to(keep)
        with pytest.raises(asyncio.CancelledError):
            await night(microscope)
        working.uncancel()
        assert name in kept.debts

    meet(test, fake)
    assert kept.debts == {}
    assert fake.store == alike(found)


async def test_what_could_not_be_kept_is_owed_as_before():
    full: list[bool] = []

    async def keep(_: Debts) -> None:
        if full:
            raise FileError("the disk is full")

    book = DebtBook()
    await book.account_to(keep)
    await book.owe("one", {"v": 1}, {"v": 2})
    full.append(True)
    for name in ("one", "other"):
        with pytest.raises(FileError):
            await book.owe(name, {"v": 1}, {"v": 3})
    assert (book.left("one"), book.owes("other")) == ([{"v": 2}], False)
