"""The look at the pinned dependencies: a hole fails it, silence does not."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from drivers.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
WHOLE = {"name": "whole", "version": "1.0", "vulns": []}
HOLE = {"id": "CVE-2026-1", "fix_versions": ["1.2", "1.3"]}
HOLED = {"name": "holed", "version": "1.1", "vulns": [HOLE, HOLE | {"fix_versions": []}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.fixture
def audit(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("audit", "environment"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("audit")


def said(audit: ModuleType, monkeypatch, capsys, packages) -> str:
    monkeypatch.setattr(audit, "audited", lambda: packages)
    audit.main()
    return capsys.readouterr().out


def test_a_hole_fails_and_is_named(audit: ModuleType, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="1"):
        said(audit, monkeypatch, capsys, [WHOLE, HOLED])
    told = capsys.readouterr().out
    assert "holed 1.1: CVE-2026-1 (mended in 1.2, 1.3); CVE-2026-1 (mended in none)" in told
    assert "whole" not in told


def test_what_was_looked_up_is_counted(audit: ModuleType, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="0"):
        said(audit, monkeypatch, capsys, [WHOLE, UNKNOWN])
    assert capsys.readouterr().out.splitlines() == [
        "1 packages looked up, 1 of which the advisories here know nothing",
        "no known hole",
    ]


def test_where_nothing_is_known_nothing_is_said_of_holes(audit: ModuleType, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="0"):
        said(audit, monkeypatch, capsys, [UNKNOWN])
    assert "hole" not in capsys.readouterr().out


def test_without_a_network_it_passes_and_says_so(audit: ModuleType, monkeypatch, capsys):
    def refuse(_: str) -> Path:
        raise UserError("cannot install pip-audit: no network")

    monkeypatch.setattr(audit, "peer_python", refuse)
    audit.main()
    assert capsys.readouterr().out == "not audited: cannot install pip-audit: no network\n"


def test_an_answer_that_is_none_is_told(audit: ModuleType, monkeypatch, capsys):
    monkeypatch.setattr(audit, "peer_python", lambda _: sys.executable)
    monkeypatch.setattr(audit, "PINNED", ("--no-such-option",))
    audit.main()
    assert capsys.readouterr().out.startswith("not audited: ")
