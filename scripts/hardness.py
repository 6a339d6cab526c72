"""How hard the parts that protect the tip are tested: ``python scripts/hardness.py [--full]``.

Two questions to the tests of each part: which lines and branches they run (``coverage``), and which
small faults they notice (``mutants.py``; a seeded sample, with ``--full`` every one). Needs the
extra ``dev``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutants import ROOT, mutants_of, sample, survivors


@dataclass(frozen=True)
class Part:
    """Files that belong together, and the tests that answer for them, the slow ones last."""

    files: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def modules(self) -> list[str]:
        """Its files, one by one, relative to the root."""
        paths = [path for pattern in self.files for path in sorted(ROOT.glob(pattern))]
        return [path.relative_to(ROOT).as_posix() for path in paths]


#: Share of the mutants that have to be noticed.
ENOUGH = 0.9
PARTS = {
    "envelope": Part(
        ("drivers/envelope.py", "drivers/enveloped.py", "drivers/ledger.py"),
        (
            "tests/drivers/test_envelope.py",
            "tests/drivers/test_envelope_bounds.py",
            "tests/drivers/test_ledger.py",
        ),
    ),
    "guardian": Part(
        ("agent/guardian/*.py",),
        (
            "tests/agent/test_guardian_core.py",
            "tests/agent/test_guardian_desk.py",
            "tests/agent/test_guardian_inside.py",
            "tests/agent/test_guardian_links.py",
            "tests/agent/test_guardian_rounds.py",
        ),
    ),
    "codec": Part(
        ("drivers/nanonis/codec.py", "drivers/nanonis/wire.py"),
        ("tests/drivers/test_nanonis_codec.py", "tests/drivers/test_nanonis_codec_bounds.py"),
    ),
    "journal": Part(
        ("agent/journal/*.py",),
        (
            "tests/agent/test_journal.py",
            "tests/agent/test_journal_damage.py",
            "tests/agent/test_journal_export.py",
            "tests/agent/test_journal_past.py",
            "tests/agent/test_journal_schema.py",
            "tests/agent/test_journal_storage.py",
            "tests/agent/test_lately.py",
            "tests/agent/test_journal_machine.py",
            "tests/agent/test_journal_recovery.py",
            "tests/agent/test_replay.py",
            "tests/agent/test_scribe.py",
        ),
    ),
}


def covered(part: Part) -> dict[str, Any]:
    """Lines and branches of a part that its tests run, and the places they do not."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment["COVERAGE_FILE"] = str(Path(folder) / "data")
        for command in (
            ["run", "-m", "pytest", "-q", "-p", "no:cacheprovider", *part.tests],
            ["combine", "-q"],
            ["json", "-q", "-o", str(report), "--include", ",".join(part.modules)],
        ):
            line = [sys.executable, "-m", "coverage", *command]
            done = subprocess.run(
                line, cwd=ROOT, env=environment, check=False, text=True, stdout=subprocess.PIPE
            )
            if done.returncode:
                sys.exit(f"{done.stdout}\n'{' '.join(line)}' failed")
        found = json.loads(report.read_text(encoding="utf-8"))
    totals = found["totals"]
    missing = [
        f"{file}:{place}"
        for file, one in found["files"].items()
        for place in (*one["missing_lines"], *(f"{a}->{b}" for a, b in one["missing_branches"]))
    ]
    return {
        "lines": [totals["covered_lines"], totals["num_statements"]],
        "branches": [totals["covered_branches"], totals["num_branches"]],
        "missing": missing,
    }


def mutated(part: Part, size: int | None, seed: int) -> dict[str, Any]:
    """How many mutants of a part its tests kill, and which live on."""
    every = [mutant for file in part.modules for mutant in mutants_of(file)]
    chosen = sample(every, size, seed)
    alive = survivors(chosen, part.tests)
    return {
        "mutants": len(every),
        "tried": len(chosen),
        "killed": len(chosen) - len(alive),
        "survivors": [f"{one.file}:{one.line}: {one.change}" for one in alive],
    }


def main() -> None:
    """Print one line a part for each question, and what was missed below it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all")
    parser.add_argument("--only", choices=("coverage", "mutants"), help="one of both questions")
    parser.add_argument("--full", action="store_true", help="every mutant instead of a sample")
    parser.add_argument("--sample", type=int, default=20, help="mutants a part (default 20)")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"unknown parts {sorted(unknown)}; expected some of {list(PARTS)}")
    answers: dict[str, dict[str, Any]] = {}
    for name in options.parts or PARTS:
        answer = answers[name] = {}
        if options.only != "mutants":
            answer["coverage"] = covered(PARTS[name])
        if options.only != "coverage":
            size = None if options.full else options.sample
            answer["mutants"] = mutated(PARTS[name], size, options.seed)
        if not options.json:
            print("\n".join(_lines(name, answer)), flush=True)
    if options.json:
        print(json.dumps({"seed": options.seed, "parts": answers}, indent=1))
    if not all(map(_holds, answers.values())):
        sys.exit(1)


def _holds(answer: dict[str, Any]) -> bool:
    """Whether all was run, and nine mutants of ten were noticed."""
    missing = answer.get("coverage", {"missing": []})["missing"]
    found = answer.get("mutants", {"killed": 1, "tried": 1})
    return not missing and found["killed"] >= ENOUGH * found["tried"]


def _lines(name: str, answer: dict[str, Any]) -> list[str]:
    lines = []
    if found := answer.get("coverage"):
        (run, of), (taken, ways) = found["lines"], found["branches"]
        lines += [f"{name:9} lines {run}/{of}  branches {taken}/{ways}"]
        lines += [f"    not run: {place}" for place in found["missing"]]
    if found := answer.get("mutants"):
        lines += [f"{name:9} killed {found['killed']}/{found['tried']} of {found['mutants']}"]
        lines += [f"    survived: {one}" for one in found["survivors"]]
    return lines


if __name__ == "__main__":
    main()
