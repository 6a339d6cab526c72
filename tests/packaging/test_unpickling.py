"""Nothing that is shipped unpickles: whoever hands over a file must not get code run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("drivers", "sim", "policies", "agent")
#: Whose loading runs what stands in the file.
PICKLING = {
    *("pickle", "_pickle", "cPickle", "pickle5", "dill", "cloudpickle", "joblib", "jsonpickle"),
    *("shelve", "marshal"),
}
#: Saves and loads its models with pickle; trainings use it, but load what they need otherwise.
TRAINING_ONLY = {"stable_baselines3", "sb3_contrib"}
#: Calls that may unpickle, and the argument that forbids it (and is the default, or is not).
GUARDED = {
    "torch.load": ("weights_only", True, False),
    "numpy.load": ("allow_pickle", False, True),
    "numpy.lib.npyio.NpzFile": ("allow_pickle", False, True),
}
FORBIDDEN = {"pandas.read_pickle", "torch.hub.load", "torch.jit.load", "yaml.unsafe_load"}


def offences(source: str, *, training: bool = False) -> list[str]:
    """What in ``source`` may unpickle."""
    tree = ast.parse(source)
    names = dict(_imported(tree))
    banned = PICKLING | (set() if training else TRAINING_ONLY)
    found = [full for full in names.values() if full.partition(".")[0] in banned]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (called := _full_name(node.func, names)):
            found += [called] if called in FORBIDDEN or not _guarded(called, node) else []
    return found


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Names that imports bind, and what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _full_name(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        owner = _full_name(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def _guarded(called: str, call: ast.Call) -> bool:
    if called not in GUARDED:
        return True
    argument, safe, by_default = GUARDED[called]
    given = [word.value for word in call.keywords if word.arg == argument]
    if not given:
        # Neither ** nor a place in the row says which argument it is.
        plain = all(word.arg is not None for word in call.keywords) and len(call.args) < 3
        return by_default and plain
    return isinstance(given[0], ast.Constant) and given[0].value is safe


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_unpickles(room: str):
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = {
        str(path.relative_to(ROOT)): wrong
        for path in files
        if (
            wrong := offences(
                path.read_text(encoding="utf-8"),
                training=path.is_relative_to(ROOT / "policies" / "training"),
            )
        )
    }
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "def f():\n    import shelve",
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x', weights_only=False)",
        "from torch import load as get\nget('x', **more)",
        "import torch\ntorch.load('x', weights_only=flag)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', **more)",
        "import numpy as np\nnp.load('x', None, True)",
        "import torch.hub\ntorch.hub.load('x')",
        "from stable_baselines3 import PPO",
        "from joblib import load",
    ],
)
def test_what_may_unpickle_is_found(source: str):
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x', weights_only=True)",
        "import numpy as np\nnp.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import json\njson.load(file)",
        "Scorer.load()",
    ],
)
def test_what_cannot_is_left_alone(source: str):
    assert not offences(source)


def test_trainings_may_use_their_library():
    assert not offences("from stable_baselines3 import PPO", training=True)
    assert offences("import pickle", training=True)
