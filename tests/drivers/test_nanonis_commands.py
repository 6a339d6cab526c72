"""The Nanonis command table: releases, codes, and what may be asked twice."""

from __future__ import annotations

from enum import IntEnum

import pytest

from drivers.errors import ProtocolError
from drivers.nanonis import codes
from drivers.nanonis.codes import PAIRS, to_set
from drivers.nanonis.commands import COMMANDS, RELEASES, lookup, names


def argument_names(name: str, release: int) -> list[str]:
    return [field.name for field in lookup(name, release).request.fields]


def return_names(name: str, release: int) -> list[str]:
    return [field.name for field in lookup(name, release).reply.fields]


@pytest.mark.parametrize(
    ("release", "count"), [(10862, 5), (13741, 5), (13742, 6), (14572, 6), (14573, 7), (99999, 7)]
)
def test_scan_props_grow_with_the_release(release: int, count: int):
    assert len(argument_names("Scan.PropsSet", release)) == count


@pytest.mark.parametrize(
    ("release", "count"), [(10862, 5), (13742, 5), (14428, 5), (14429, 8), (14718, 9)]
)
def test_scan_props_are_read_as_the_release_has_them(release: int, count: int):
    assert len(return_names("Scan.PropsGet", release)) == count


@pytest.mark.parametrize(("release", "count"), [(10862, 4), (11797, 4), (11798, 5), (14718, 5)])
def test_drift_compensation_has_a_saturation_limit_since_11798(release: int, count: int):
    assert len(argument_names("Piezo.DriftCompSet", release)) == count


def test_the_gain_is_another_type_in_the_oldest_release():
    assert [f.kind for f in lookup("Current.GainSet", 10862).request.fields] == ["u16"]
    assert [f.kind for f in lookup("Current.GainSet", 13742).request.fields] == ["i32", "i32"]


@pytest.mark.parametrize("name", ["Util.VersionGet", "Scan.WaitEndOfLine", "Scan.XYPosGet"])
def test_commands_newer_than_the_release_are_unknown(name: str):
    assert name not in names(13741)
    assert name in names(13742)
    with pytest.raises(ProtocolError, match="13741"):
        lookup(name, 13741)


def test_a_release_older_than_the_documented_ones_gets_the_oldest_layouts():
    assert names(1) == names(10862)
    assert argument_names("Scan.PropsSet", 1) == argument_names("Scan.PropsSet", 10862)


def test_unknown_commands_are_refused():
    with pytest.raises(ProtocolError, match=r"Bias\.Explode"):
        lookup("Bias.Explode", 14718)


@pytest.mark.parametrize("release", RELEASES)
def test_every_group_can_be_written_as_it_was_read(release: int):
    """What is read under a name and can be written under it has the same type and a code for it."""
    for name in names(release):
        if not name.endswith("Set") or (got := name[:-3] + "Get") not in COMMANDS:
            continue
        read = {field.name: field for field in lookup(got, release).reply.fields}
        for field in lookup(name, release).request.fields:
            other = read.get(field.name)
            if other is None or other.codes is None:
                assert field.codes is None or other is None
                continue
            assert field.codes is not None
            assert {to_set(code, field.codes).name for code in other.codes} <= {
                code.name for code in field.codes
            }


@pytest.mark.parametrize(("read", "written"), PAIRS)
def test_writing_zero_always_means_no_change(read: type[IntEnum], written: type[IntEnum]):
    assert written(0).name == "KEEP"
    assert {code.name for code in written} == {"KEEP", *(code.name for code in read)}


@pytest.mark.parametrize(("read", "written"), PAIRS[1:])
def test_most_codes_are_one_higher_when_written(read: type[IntEnum], written: type[IntEnum]):
    assert all(to_set(code, written) == code + 1 for code in read)


def test_flags_are_off_and_on_when_read_but_on_and_off_when_written():
    assert (codes.Switch.OFF, codes.Switch.ON) == (0, 1)
    assert (codes.Autosave.ALL, codes.Autosave.NEXT, codes.Autosave.OFF) == (0, 1, 2)


def test_written_flags_have_on_before_off():
    # The one pair whose order is turned round.
    assert (codes.SetSwitch.ON, codes.SetSwitch.OFF) == (1, 2)
    assert to_set(codes.Switch.OFF, codes.SetSwitch) == 2
    assert to_set(codes.Switch.ON, codes.SetSwitch) == 1


def test_a_bare_zero_is_never_taken_for_a_code():
    with pytest.raises(ValueError, match="SetSwitch"):
        lookup("SafeTip.OnOffSet", 14718).request.encode({"status": 0})


def test_only_reading_is_repeatable():
    repeatable = {name for name in names(14718) if lookup(name, 14718).reads}
    assert {"Bias.Get", "Scan.FrameDataGrab", "Signals.ValsGet"} <= repeatable
    assert not {name for name in repeatable if name.endswith(("Set", "Start", "Pulse", "Action"))}
    assert "Motor.StepCounterGet" not in repeatable  # it can reset what it reads
