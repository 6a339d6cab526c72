"""Small faults put into copied code one at a time, and whether its tests notice; POSIX only.

A mutator of our own: mutmut draws no seeded sample, cosmic-ray changes files in place and starts an
interpreter for each mutant. This one works on a copy, and forks from a process that has loaded what
the tests need from others.
"""

from __future__ import annotations

import ast
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("agent", "drivers", "policies", "sim", "tests", "pyproject.toml")
LOADED = (
    *("async_solipsism", "filelock", "hypothesis", "numpy", "pydantic", "pydantic_settings"),
    *("pytest", "rich.console", "scipy.ndimage", "torch", "typer"),
)

SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.USub: ast.UAdd,
}  # fmt: skip
# What says nothing of behaviour, or only how a class is laid out.
PASSED_OVER = ("annotation", "returns", "decorator_list")


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is, what was there and what is now, and the whole file with it."""

    file: str
    line: int
    change: str
    source: str


def mutants_of(file: str) -> list[Mutant]:
    """Every mutant of a file, given relative to the root."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    found = []
    for parent, name, index, old in list(_places(tree)):
        for new in _changed(old):
            _put(parent, name, index, new)
            change = f"{ast.unparse(old)[:60]} -> {ast.unparse(new)[:60]}".replace("\n", " ")
            found.append(Mutant(file, old.lineno, change, ast.unparse(tree)))
            _put(parent, name, index, old)
    return found


def _places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.expr | ast.stmt]]:
    for name, value in ast.iter_fields(node):
        if name in PASSED_OVER:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.expr | ast.stmt):
                yield node, name, index, child
            if isinstance(child, ast.AST):
                yield from _places(child)


def _put(parent: ast.AST, name: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def _changed(node: ast.expr | ast.stmt) -> list[ast.AST]:
    at = {"lineno": node.lineno, "col_offset": node.col_offset}
    match node:
        case ast.Compare(left=left, ops=ops, comparators=right):
            swaps = [[*ops[:i], SWAPPED[type(op)](), *ops[i + 1 :]] for i, op in enumerate(ops)]
            return [ast.Compare(left, swap, right, **at) for swap in swaps]
        case ast.BoolOp(op=op, values=values):
            return [ast.BoolOp(SWAPPED[type(op)](), values, **at)]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in SWAPPED:
            return [ast.BinOp(left, SWAPPED[type(op)](), right, **at)]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return [operand]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return [operand]
        case ast.Constant(value=bool(value)):
            return [ast.Constant(not value, **at)]
        case ast.Constant(value=int(value) | float(value)):
            return [ast.Constant(value + 1, **at), ast.Constant(value - 1, **at)]
        case ast.Return(value=ast.Constant(value=None)):
            return []
        case ast.Return(value=ast.expr(), lineno=_):
            return [ast.Return(ast.Constant(None, **at), **at)]
        case ast.Raise() | ast.Expr(value=ast.Call() | ast.Await()):
            return [ast.Pass(**at)]
    return []


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the code and its tests, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder) / name
            if source.is_dir():
                # Not what was compiled for Python; numba's takes a minute to make anew.
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.pyc"))
            else:
                shutil.copy(source, target)
        yield Path(folder)


def survivors(chosen: Sequence[Mutant], tests: Sequence[str]) -> list[Mutant]:
    """Those of the mutants that the tests do not notice; the tests must pass without any.

    Raises:
        RuntimeError: they do not.
    """
    for name in LOADED:
        importlib.import_module(name)
    with copied() as place:
        started = time.monotonic()
        if not _passes(place, tests, 600.0):
            raise RuntimeError(f"the tests do not pass without a mutant: {' '.join(tests)}")
        limit_s = 10.0 + 4 * (time.monotonic() - started)
        alive = []
        for mutant in chosen:
            path = place / mutant.file
            before = path.read_text(encoding="utf-8")
            path.write_text(mutant.source, encoding="utf-8")
            if _passes(place, _ordered(tests, mutant.file), limit_s):
                alive.append(mutant)
            path.write_text(before, encoding="utf-8")
    return alive


def sample(mutants: Sequence[Mutant], size: int | None, seed: int) -> list[Mutant]:
    """``size`` of the mutants drawn with ``seed``, or all of them if None."""
    if size is None or size >= len(mutants):
        return list(mutants)
    return random.Random(seed).sample(list(mutants), size)  # noqa: S311 - no secret


def _ordered(tests: Sequence[str], file: str) -> list[str]:
    """Those first that are called after the file: most mutants die of the first test that fails."""
    return sorted(tests, key=lambda one: Path(file).stem not in Path(one).stem)


def _passes(place: Path, tests: Sequence[str], limit_s: float) -> bool:
    child = os.fork()
    if not child:
        _test(place, tests)
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _test(place: Path, tests: Sequence[str]) -> None:
    code = 99
    try:
        os.setpgid(0, 0)
        os.chdir(place)
        # A stale compiled file would hide a mutant of the same size and second.
        sys.dont_write_bytecode = True
        sys.path[:] = [str(place), *(p for p in sys.path if not (Path(p) / "drivers").is_dir())]
        os.environ["PYTHONPATH"] = str(place)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        pytest = importlib.import_module("pytest")
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        # What was loaded before the fork is not rewritten, and need not be.
        options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = int(pytest.main([*options, *tests]))
    finally:
        os._exit(code)
