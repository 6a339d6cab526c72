"""The compact world against the simulator that it stands for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from drivers import CoarseMove, Indentation, Wait
from policies.conditioner.contact import contact_depth_m
from policies.training.bank import Bank
from policies.training.compact import CompactWorld, Rig, jump_nm, tunnel_gap_nm
from policies.training.tips import draw_tips
from sim.tips.conditioning import Conditioning
from sim.tips.tip import Tip
from sim.world import World
from tests.policies.rehearsed import AT, DIP, FRAME, PRESET, PULSE, honest_bank

QUIET = Rig(line_s=0.25, traces=True, jumps=True, noise_a=3e-13, noise_m=1e-12)
DEEP = Indentation(at=AT, depth_m=1.4e-9, lift_m=4.2e-9)


@pytest.fixture(scope="module")
def bank() -> Bank:
    return honest_bank()


def world(bank: Bank, seed: int = 0, rig: Rig = QUIET) -> CompactWorld:
    return CompactWorld(PRESET, bank, np.random.default_rng(seed), FRAME, rig)


def tips(count: int) -> list[Tip]:
    return list(itertools.islice(draw_tips(np.random.default_rng(4), PRESET), count))


def test_the_same_seed_gives_the_same_episode(bank: Bank) -> None:
    first, second = world(bank, 3), world(bank, 3)
    for one in (first, second):
        one.act(DEEP)
        one.act(PULSE)
    assert first.tip == second.tip
    assert first.look(whole=True) == second.look(whole=True)
    assert world(bank, 4).tip != world(bank, 3).tip


def test_a_recorded_dip_tells_where_contact_is(bank: Bank) -> None:
    for seed in range(30):
        one = world(bank, seed)
        gap_nm = tunnel_gap_nm(one.tip, AT)
        outcome = one.act(DEEP).outcome
        found = contact_depth_m(DEEP, outcome)
        true_nm = one._latents.contact_depth_nm(gap_nm)
        # Far beyond the end of the ramp the current has not risen enough to tell.
        if true_nm < 1.5:
            assert found is not None
            assert found * 1e9 == pytest.approx(true_nm, abs=0.05)


def test_jumps_in_z_are_those_of_the_simulator() -> None:
    real, compact = [], []
    for seed, tip in enumerate(tips(25)):
        full = World(PRESET, seed, tip)
        full.advance(300.0)
        jump_m = full.apply(DEEP).z_jump_m
        assert jump_m is not None
        real.append(jump_m * 1e9)
        laws = Conditioning(PRESET, full.latents, np.random.default_rng(seed))
        depth = full.latents.penetration_nm(1.4, tunnel_gap_nm(tip, AT))
        change = laws.dip(tip, depth, 0.02, 0.1)
        compact.append(jump_nm(tip, change.tip, change.marks, AT))
    assert np.median(compact) == pytest.approx(np.median(real), abs=0.1)
    assert np.std(compact) == pytest.approx(np.std(real), rel=0.5)


def test_the_gap_is_that_of_the_simulator() -> None:
    (tip,) = tips(1)
    full = World(PRESET, 1, tip)
    full.tunnel(AT)
    assert tunnel_gap_nm(tip, AT) == pytest.approx(full._tunnel_gap_nm())


def test_looks_cost_their_lines_and_actions_their_time(bank: Bank) -> None:
    one = world(bank)
    lines = one.look(whole=True).report.lines
    assert one.time_s == pytest.approx(lines * 0.25)
    before = one.time_s
    outcome = one.act(Wait(seconds=60.0)).outcome
    assert outcome.started_s == before
    assert one.time_s - before == pytest.approx(60.6)
    one.act(CoarseMove(x_steps=20, y_steps=0, retract_steps=50))
    assert one.time_s - before > 180


def test_a_rig_without_traces_or_jumps_tells_neither(bank: Bank) -> None:
    blind = Rig(line_s=0.25, traces=False, jumps=False, noise_a=3e-13, noise_m=1e-12)
    outcome = world(bank, rig=blind).act(DIP).outcome
    assert outcome.trace is None
    assert outcome.z_jump_m is None


def test_rigs_differ(bank: Bank) -> None:
    rigs = [Rig.draw(np.random.default_rng(seed), PRESET) for seed in range(60)]
    assert 0 < sum(rig.traces for rig in rigs) < 60
    assert 0 < sum(rig.jumps for rig in rigs) < 60
    times = [rig.scan_s for rig in rigs]
    assert min(times) < 15
    assert max(times) > 90


def test_a_tip_may_change_by_itself_and_is_seen_to_be_another(bank: Bank) -> None:
    one = world(bank, 8)
    first = one.tip
    looks = 0
    while one.tip is first and looks < 5000:
        one.look(whole=True)
        looks += 1
    assert one.tip is not first
    assert looks > 1
