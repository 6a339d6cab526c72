"""Adaptation to a new surface: it learns, says what it expects, repeats, and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from drivers.errors import FileError
from drivers.scan import Scan
from policies import cli
from policies.adaptation import validation
from policies.adaptation.adapt import adapt
from policies.adaptation.adapted import AdaptedManifest, AdaptedScorer
from policies.adaptation.descriptors import describe
from policies.adaptation.examples import WHOLE_SHARE, example
from policies.adaptation.heads import taught
from policies.adaptation.validation import cross_validate, gain, session_folds
from policies.scorer import Scorer
from tests.policies.untaught import picture, untaught_scorer, write_pictures, write_table

pytestmark = pytest.mark.timeout(300)  # it teaches for every fold of sessions


@pytest.fixture(scope="module", autouse=True)
def _briefly() -> Iterator[None]:
    """A third of the epochs tells as much of clear cases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "MOST_EPOCHS", 10)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scorer, AdaptedManifest]:
    folder = tmp_path_factory.mktemp("adapted")
    write_pictures(folder)
    scorer = untaught_scorer(folder)
    manifest = adapt(scorer, folder / "labels.csv", folder, folder / "out.safetensors", seed=1)
    return folder, scorer, manifest


def scan(number: int, *, noisy: bool, lines: int = 48) -> Scan:
    grey = picture(number, noisy=noisy)[:lines]
    return Scan(forward=grey.astype(np.float32), scale_known=False)


def test_it_learns_what_the_shipped_scorer_does_not_know(
    made: tuple[Path, Scorer, AdaptedManifest],
) -> None:
    folder, scorer, manifest = made
    expected = manifest.expected["noisy"]
    assert expected.adapted > 0.95
    assert expected.adapted >= expected.shipped
    assert expected.gain_low <= expected.adapted - expected.shipped <= expected.gain_high
    adapted = AdaptedScorer.load(folder / "out.safetensors", scorer)
    for number in range(1000, 1006):
        high, low = (adapted.probabilities(scan(number, noisy=n))["noisy"] for n in (True, False))
        assert high > 0.5 > low


def test_first_lines_are_judged_by_what_was_taught_on_first_lines(
    made: tuple[Path, Scorer, AdaptedManifest],
) -> None:
    folder, scorer, _ = made
    adapted = AdaptedScorer.load(folder / "out.safetensors", scorer)
    few = int(WHOLE_SHARE * 64) - 8
    found = [
        adapted.probabilities(scan(number, noisy=noisy, lines=few))["noisy"]
        for noisy in (True, False)
        for number in range(1000, 1008)
    ]
    assert min(found) >= 0
    assert np.mean(found[:8]) > np.mean(found[8:]) + 0.3
    with pytest.raises(ValueError, match="fewer than two"):
        adapted.probabilities(scan(0, noisy=True, lines=1))


def test_the_same_seed_gives_the_same_weights(
    made: tuple[Path, Scorer, AdaptedManifest], tmp_path: Path
) -> None:
    folder, scorer, manifest = made
    torch.manual_seed(99)
    again = adapt(scorer, folder / "labels.csv", folder, tmp_path / "a.safetensors", seed=1)
    assert again.sha256 == manifest.sha256
    other = adapt(scorer, folder / "labels.csv", folder, tmp_path / "a.safetensors", seed=2)
    assert other.sha256 != manifest.sha256


def test_weights_that_were_tampered_with_or_belong_elsewhere_are_refused(
    made: tuple[Path, Scorer, AdaptedManifest], tmp_path: Path
) -> None:
    folder, scorer, manifest = made
    with pytest.raises(FileError, match="other weights"):
        AdaptedScorer.load(folder / "out.safetensors", untaught_scorer(tmp_path, seed=1))
    content = bytearray((folder / "out.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "out.safetensors").write_bytes(content)
    (tmp_path / "out.json").write_text(manifest.model_dump_json())
    with pytest.raises(FileError, match="sha256"):
        AdaptedScorer.load(tmp_path / "out.safetensors", scorer)


def test_a_refusal_writes_nothing(tmp_path: Path) -> None:
    rows = write_pictures(tmp_path)
    scorer, out = untaught_scorer(tmp_path), tmp_path / "out.safetensors"

    def refused(said: str, changed: list[dict[str, object]]) -> None:
        write_table(tmp_path / "labels.csv", changed)
        with pytest.raises(FileError, match=said):
            adapt(scorer, tmp_path / "labels.csv", tmp_path, out, seed=1)
        assert not out.exists()

    refused("'noisy' has 19 labels", rows[:19])
    refused("'noisy' has 40 labels of one kind only", [{**row, "noisy": 0} for row in rows])
    refused("absent", [{**rows[0], "image": "absent.png"}, *rows[1:]])


def test_pictures_that_show_nothing_teach_nothing(tmp_path: Path) -> None:
    from PIL import Image

    rows = write_pictures(tmp_path)
    for row in rows[:25]:
        Image.new("L", (32, 32), 7).save(tmp_path / str(row["image"]))
    with pytest.raises(FileError, match="only 15 of 40 images"):
        adapt(
            untaught_scorer(tmp_path), tmp_path / "labels.csv", tmp_path,
            tmp_path / "out.safetensors", seed=1,
        )  # fmt: skip


def test_the_first_window_is_the_first_lines_alone(tmp_path: Path) -> None:
    whole = scan(3, noisy=False)
    found = example(untaught_scorer(tmp_path), whole, np.random.default_rng(0))
    np.testing.assert_array_equal(found.windows[0], describe(whole.forward[: round(0.12 * 64)]))


def test_folds_keep_sessions_together() -> None:
    sessions = np.random.default_rng(0).integers(0, 9, 100)
    folds = session_folds(sessions)
    assert set(folds) == set(range(5))
    assert all(len(set(folds[sessions == one])) == 1 for one in range(9))


def test_what_only_tells_sessions_apart_does_not_flatter() -> None:
    sessions = np.repeat(np.arange(40), 5)
    numbers = torch.eye(40)[torch.from_numpy(sessions)]
    votes = (torch.rand(40, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    votes = votes[torch.from_numpy(sessions)][:, None]
    parts = {"described": numbers[None]}
    found = cross_validate(parts, votes, session_folds(sessions), 0, lambda _n, _s: None)
    result = gain(torch.zeros(200, 6), found.logits[:, 0], votes[:, 0], sessions)
    assert result.adapted < 0.7
    assert result.shipped == 0.5


def test_teaching_does_not_depend_on_draws_in_between() -> None:
    numbers, votes = torch.rand(2, 30, 4), (torch.rand(30, 1) > 0.5).float()
    first = [head.layers[1].weight.clone() for head in taught(numbers, votes, 2, 0)]
    again = []
    for head in taught(numbers, votes, 2, 0):
        torch.rand(7)
        again.append(head.layers[1].weight.clone())
    torch.testing.assert_close(first, again, rtol=0, atol=0)


def test_the_command_tells_what_to_expect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(tmp_path)
    scorer = untaught_scorer(tmp_path)
    monkeypatch.setattr(Scorer, "load", lambda: scorer)
    application = typer.Typer()
    application.command()(cli.adapt)
    arguments = ["--labels", str(tmp_path / "labels.csv"), "--images", str(tmp_path)]
    result = CliRunner().invoke(application, [*arguments, "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["expected"]["noisy"]["adapted"] > 0.9
    assert (tmp_path / "labels.safetensors").exists()
    shown = CliRunner().invoke(application, [*arguments, "--out", str(tmp_path / "b.safetensors")])
    assert "noisy" in shown.stdout
    assert "b.safetensors written" in shown.stdout.replace("\n", "")
