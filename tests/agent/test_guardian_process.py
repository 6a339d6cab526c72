"""The real guardian process beside a real agent, on the simulated controller over real sockets."""

from __future__ import annotations

import asyncio
import configparser
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.benches.safety.faults import Fault, seconds_to_withdraw, subject, until
from agent.benches.safety.relay import Relay
from agent.benches.safety.trips import false_trips_for
from agent.config import GuardianSettings, RepairSettings
from agent.guardian.asking import ask
from agent.guardian.statefile import read_report
from agent.guardian.states import GUARDING, State
from agent.guarding import guarded, start_guardian
from agent.installation import ROOT, own_version
from agent.journal import Journal
from agent.repair import repair
from agent.result import RepairResult
from drivers.bench import HOST, served
from drivers.emergency import Emergency
from drivers.envelope import Limits
from drivers.enveloped import EnvelopedMicroscope
from drivers.errors import ConnectionLost, GuardianLost
from drivers.nanonis.client import NanonisConnection
from drivers.nanonis.codes import ZStatus
from drivers.nanonis.emergency import EMERGENCY_PORT
from drivers.nanonis.microscope import open_nanonis
from drivers.registry import Address
from tests.agent.scripted import DIP, Always, ScriptedMicroscope, ScriptedScorer, scribe

pytestmark = [
    pytest.mark.skipif(own_version() == "unknown", reason="the distribution is not installed"),
    pytest.mark.skipif(os.name != "posix", reason="no other system stops processes"),
]
LIMIT_S = 1.0


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A simulated controller for all of these tests, with the tip in contact at first."""
    with served("--seed", "1") as port:
        yield port


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "guardian.json"


async def opened(port: int) -> EnvelopedMicroscope:
    address = Address.parse(f"nanonis://{HOST}:{port}")
    return EnvelopedMicroscope(await open_nanonis(address), Limits())


async def signalled(
    number: int, microscope: EnvelopedMicroscope, settings: GuardianSettings
) -> None:
    """Work under a guardian that gets a signal."""
    async with guarded(microscope, settings) as guard, guard.kept():
        os.kill(read_report(Path(settings.state)).pid, number)
        await asyncio.sleep(10.0)


async def gone(state: Path) -> None:
    """Wait until no guardian runs."""
    for _ in range(500):
        if ask(state, "state") is None:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the guardian still runs")


@pytest.mark.parametrize("fault", list(Fault))
async def test_a_hurt_agent_is_replaced_in_time(fault: Fault, port: int, state: Path):
    assert 0 <= await seconds_to_withdraw(fault, port, state) <= LIMIT_S
    connection = NanonisConnection(HOST, port)
    assert (await connection.call("ZCtrl.StatusGet"))["status"] is ZStatus.OFF
    assert (await connection.call("ZCtrl.ZPosGet"))["z_m"] > 0.9e-7
    await connection.close()
    assert read_report(state).state is State.DISARMED


async def test_the_operators_stop_is_heard_while_the_loop_is_blocked(port: int, state: Path):
    async with Relay(port) as relay, subject(relay.port, state) as agent:
        agent.stdin.write(b"block\n")
        await agent.stdout.readline()
        asked = time.monotonic()
        assert ask(state, "trip", reason="the operator's stop").done
        await until(state, State.WITHDRAWN, 5.0)
        assert relay.withdrawn_at[0] - asked < 0.25
        assert ask(state, "state").reason == "the operator's stop"


async def test_an_agent_that_goes_on_after_being_stopped_ends(port: int, state: Path):
    async with subject(port, state) as agent:
        agent.send_signal(signal.SIGSTOP)
        await until(state, State.WITHDRAWN, 5.0)
        agent.send_signal(signal.SIGCONT)
        assert await asyncio.wait_for(agent.wait(), 10.0) != 0


async def test_nothing_happens_to_an_agent_that_works(port: int, state: Path):
    assert await false_trips_for(2.0, port, state) == 0


async def test_it_is_out_of_reach_of_what_ends_the_agent(port: int, state: Path):
    async with subject(port, state):
        pid = read_report(state).pid
        assert os.getsid(pid) == pid
        assert os.getpgid(pid) == pid
        os.kill(pid, signal.SIGHUP)
        assert ask(state, "state").state is State.ARMED


async def test_told_to_end_it_withdraws_first(port: int, state: Path):
    async with Relay(port) as relay, subject(relay.port, state) as agent:
        os.kill(read_report(state).pid, signal.SIGTERM)
        assert await asyncio.wait_for(agent.wait(), 10.0) != 0
        await gone(state)
        assert relay.withdrawn_at
        assert read_report(state).state is State.WITHDRAWN
        start_guardian(state)
        # Only one that answers can be let go at the end.
        await until(state, State.WITHDRAWN, 10.0)


async def test_a_successor_withdraws_what_both_have_left(port: int, state: Path):
    async with Relay(port) as relay:
        async with subject(relay.port, state) as agent:
            agent.send_signal(signal.SIGSTOP)
            os.kill(read_report(state).pid, signal.SIGKILL)
            agent.kill()
            await gone(state)
            assert read_report(state).state in GUARDING
            start_guardian(state)
            await until(state, State.WITHDRAWN, 10.0)
        assert relay.withdrawn_at


async def test_a_guardian_that_dies_breaks_the_work_off(port: int, state: Path):
    microscope = await opened(port)
    settings = GuardianSettings(state=str(state))
    with pytest.raises(GuardianLost, match="guardian has died"):
        await signalled(signal.SIGKILL, microscope, settings)
    with pytest.raises(GuardianLost, match=r"latched \((armed|blind) since .*--rearm"):
        async with guarded(microscope, settings):
            pass
    await microscope.close()


async def test_a_guardian_that_hangs_breaks_the_work_off(port: int, state: Path):
    microscope = await opened(port)
    with pytest.raises(GuardianLost, match="does not answer"):
        await signalled(signal.SIGSTOP, microscope, GuardianSettings(state=str(state)))
    os.kill(read_report(state).pid, signal.SIGCONT)
    await until(state, State.WITHDRAWN, 5.0)
    assert ask(state, "rearm").done
    await microscope.close()


@dataclass
class Framed(ScriptedMicroscope):
    """A scripted microscope that lends the frames of another one."""

    frames: Emergency | None = None

    async def emergency(self) -> Emergency | None:
        return self.frames


async def repaired(
    scripted: Framed, journal: Journal, guardian: Path, *, kill: bool = False
) -> RepairResult:
    """A repair under a guardian, which is killed as soon as the microscope hangs if so wished."""
    microscope, settings = scripted.enveloped(), RepairSettings(pixels=16, lines=24)
    async with guarded(microscope, GuardianSettings(state=str(guardian))) as guard:
        work = asyncio.ensure_future(
            repair(
                microscope,
                ScriptedScorer(),
                Always(DIP),
                settings,
                scribe(journal),
                lambda _: None,
                guard,
            )
        )
        if kill:
            await scripted.hanging.wait()
            os.kill(read_report(guardian).pid, signal.SIGKILL)
        return await work


async def framed(port: int, **script: object) -> Framed:
    microscope = await opened(port)
    scripted = Framed([0.1], frames=await microscope.emergency(), **script)
    await microscope.close()
    return scripted


async def test_a_repair_whose_guardian_dies_withdraws_by_its_own_link(
    port: int, state: Path, journal: Journal
):
    scripted = await framed(port, fail_scan=(0, None))
    result = await repaired(scripted, journal, state, kill=True)
    assert (result.outcome, result.exit_code) == ("stopped", 3)
    assert result.reason == "the guardian has died; the run cannot go on without it"
    assert scripted.calls == ["scan", "withdraw"]


async def test_a_repair_that_cannot_withdraw_leaves_it_to_the_guardian(
    port: int, state: Path, journal: Journal
):
    lost = ConnectionLost("the link broke")
    scripted = await framed(port, fail_scan=(0, lost), fail_withdraw=lost)
    result = await repaired(scripted, journal, state)
    assert "THE TIP COULD NOT BE WITHDRAWN" in result.reason
    await until(state, State.WITHDRAWN, 5.0)
    assert ask(state, "state").reason == "the agent could not withdraw the tip"
    assert ask(state, "rearm").done


async def test_an_emergency_port_that_is_taken_is_told_before_anything_moves(
    port: int, state: Path
):
    microscope = await opened(port)
    settings = GuardianSettings(state=str(state), blind_after_s=1.0)
    other = NanonisConnection(HOST, port + EMERGENCY_PORT)
    await other.call("Bias.Get")
    with pytest.raises(GuardianLost, match="no other program holds this port"):
        async with guarded(microscope, settings):
            pytest.fail("it was granted")
    await other.close()
    await microscope.close()
    assert read_report(state).state is State.DISARMED


async def test_one_guardian_guards_one_run(port: int, state: Path):
    microscope = await opened(port)
    settings = GuardianSettings(state=str(state))
    async with guarded(microscope, settings):
        with pytest.raises(GuardianLost, match="watches over another run"):
            async with guarded(microscope, settings):
                pass
        assert ask(state, "state").state is State.ARMED
    await microscope.close()


def test_it_loads_nothing_but_the_standard_library():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import agent.guardian.__main__; "
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    command = [sys.executable, "-I", "-S", "-c", program, str(ROOT)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert set(done.stdout.split()) <= {"agent", "__main__"}


def started_by_hand(state: Path) -> subprocess.Popen[str]:
    """A guardian as a service starts it."""
    command = [sys.executable, "-m", "agent.guardian", "--state", str(state)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)


async def test_as_a_service_it_outlives_the_runs_that_it_guards(port: int, state: Path):
    with started_by_hand(state) as service:
        while read_report(state) is None:
            time.sleep(0.02)  # noqa: ASYNC251 - nothing else is to happen meanwhile
        for _ in range(2):
            microscope = await opened(port)
            async with guarded(microscope, GuardianSettings(state=str(state))):
                assert ask(state, "state").state is State.ARMED
            await microscope.close()
            assert ask(state, "state").state is State.DISARMED
        assert read_report(state).pid == service.pid
        with started_by_hand(state) as second:
            assert "another guardian runs" in second.communicate()[1]
        service.terminate()
        said = service.communicate()[1]
    assert service.returncode == 0
    assert "armed: the instrument can be withdrawn from here" in said
    assert "disarmed: the agent has ended in order" in said


def test_of_two_that_start_together_one_runs(state: Path):
    with started_by_hand(state) as one, started_by_hand(state) as other:
        while one.poll() is None and other.poll() is None:
            time.sleep(0.02)
        loser, winner = (one, other) if one.poll() is not None else (other, one)
        said = loser.communicate()[1]
        assert (loser.returncode, said.count("\n")) == (3, 1)
        assert f"cannot start: another guardian runs with the state file {state}" in said
        assert ask(state, "state").state is State.DISARMED
        assert read_report(state).pid == winner.pid
        winner.terminate()


def test_a_run_starts_over_a_torn_file_once_a_human_has_rearmed(state: Path):
    state.touch(0o600)
    with started_by_hand(state) as service:
        while not state.read_bytes():
            time.sleep(0.02)
        assert ask(state, "state").state is State.UNKNOWN
        assert ask(state, "rearm").done
        assert ask(state, "state").state is State.DISARMED
        service.terminate()
        said = service.communicate()[1]
    assert ": unknown: " in said
    assert "nobody knows what was armed" in said


def test_the_service_is_never_given_up():
    unit = configparser.ConfigParser(interpolation=None)
    # As it is written: systemd knows no other case of these names.
    unit.optionxform = str
    unit.read(ROOT / "docs" / "tipsmith-guardian.service")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Service"]["Restart"] == "always"
    assert 1 < float(unit["Service"]["RestartSec"]) <= 5


def test_a_state_file_that_cannot_be_had_is_one_sentence(state: Path):
    state.mkdir(0o700)
    command = [sys.executable, "-m", "agent.guardian", "--state", str(state)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)
    assert done.returncode == 3
    assert done.stderr.startswith("tipsmith guardian: cannot start: ")
    assert done.stderr.count("\n") == 1
