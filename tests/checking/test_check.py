"""check: verdicts on ladders with known optima, reuse of trials, extension at edges, survival of SIGKILL."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hptransfer.checking.check import CheckResult, check
from hptransfer.errors import InconclusiveError, RefusedError, UsageError
from hptransfer.scaling.scale import scale
from hptransfer.statistics.slope import RowVerdict
from hptransfer.transfer.verdict import Verdict
from hptransfer.tuning.tune import tune
from tests.support.ladder import recipe_text
from tests.support.sessions import recipe_session

ROOT = Path(__file__).parents[2]


def checked(tmp_path: Path, landscape: Mapping[str, Any], **options: Any) -> CheckResult:
    """Tunes and checks on a ladder."""
    with recipe_session(tmp_path / "runs", recipe_text(landscape, **options)) as session:
        tune(session, quiet=True)
        return check(session, "ladder.yaml", quiet=True, show=False)


def test_an_optimum_that_stays_transfers(tmp_path: Path) -> None:
    """With the same optimum at every width the verdict is TRANSFERS, and the drift's interval holds zero."""
    result = checked(tmp_path, {"drift": 0.0})

    (axis,) = result.report.axes
    assert result.report.verdict is Verdict.TRANSFERS
    assert axis.drift.contains(0.0)


def test_an_optimum_that_moves_drifts(tmp_path: Path) -> None:
    """An optimum that falls by 0.9 octaves per doubling is found to drift, with that number in the interval."""
    result = checked(tmp_path, {"drift": -0.9})

    (axis,) = result.report.axes
    assert result.report.verdict is Verdict.DRIFTS
    assert axis.drift.contains(-0.9)


def test_one_seed_never_transfers(tmp_path: Path) -> None:
    """A single seed shows no noise, so even a perfect ladder stays INCONCLUSIVE where no further seed may be bought."""
    result = checked(tmp_path, {"drift": 0.0}, seeds=1)

    assert result.report.verdict is Verdict.INCONCLUSIVE


def test_rounds_are_recorded(tmp_path: Path) -> None:
    """transfer.json says what each round bought: trials, drift interval, verdict, and why it ended."""
    adaptive = checked(tmp_path, {"drift": 0.0}, check=", adaptive: true").document["adaptive"]

    assert adaptive["ended"] == "settled"
    assert [each["verdict"] for each in adaptive["rounds"][-2:]] == ["TRANSFERS", "TRANSFERS"]
    assert all(each["looks"][0]["drift"]["low"] < 0 < each["looks"][0]["drift"]["high"] for each in adaptive["rounds"])
    assert all(each["bought"] for each in adaptive["rounds"])


def test_drift_along_depth_alone_is_a_drift(tmp_path: Path) -> None:
    """The verdict covers both axes: transfer across width does not excuse a drift across depth."""
    result = checked(tmp_path, {"depth_drift": 0.8}, depths="[2, 4, 8, 16]")

    assert [(axis.axis, axis.verdict) for axis in result.report.axes] == [
        ("width", Verdict.TRANSFERS),
        ("depth", Verdict.DRIFTS),
    ]
    assert result.report.verdict is Verdict.DRIFTS


def test_batch_and_tokens_are_ladders_of_their_own(tmp_path: Path) -> None:
    """The optimum is still along width and batch and moves with the length of training: each axis says its own."""
    ladders = "batch_sizes: [16, 32, 64, 128]\n  tokens: [20480, 40960, 81920, 163840]"
    result = checked(tmp_path, {"token_drift": -0.8}, ladders=ladders)

    assert [(axis.axis, axis.verdict) for axis in result.report.axes] == [
        ("width", Verdict.TRANSFERS),
        ("batch_size", Verdict.TRANSFERS),
        ("tokens", Verdict.DRIFTS),
    ]
    assert result.report.axes[2].drift.contains(-0.8)
    assert result.document["checked"]["tokens"] == [20480, 40960, 81920, 163840]
    assert [axis.reference for axis in result.report.axes] == [64, 64, 40960]


@pytest.mark.parametrize(("moved", "verdict"), [(0.0, Verdict.TRANSFERS), (0.6, Verdict.DRIFTS)])
def test_a_corner_shows_what_single_ladders_do_not(tmp_path: Path, moved: float, verdict: Verdict) -> None:
    """Width and depth transfer each by itself; together the optimum moves, and only the corner sees it."""
    result = checked(tmp_path, {"corner_drift": moved}, depths="[2, 4, 8, 16]", ladders="corner: true")

    axes = {axis.axis: axis for axis in result.report.axes}
    assert axes["width"].verdict is axes["depth"].verdict is Verdict.TRANSFERS
    assert axes["width x depth"].verdict is verdict
    assert [size.value for size in axes["width x depth"].sizes] == [64 * 2, 512 * 16]
    assert result.report.verdict is verdict
    assert (tmp_path / "runs" / "ladder" / "figures" / "transfer-width-depth.png").exists()


def test_the_grid_is_extended_only_where_an_optimum_lies_on_its_edge(tmp_path: Path) -> None:
    """The width whose optimum has left the shared grid gets smaller values, the proxy does not."""
    (axis,) = checked(tmp_path, {"drift": -0.9}).report.axes
    smallest = {size.value: min(point.x for point in size.points) for size in axis.sizes}

    assert smallest[512] < smallest[64]
    assert axis.sizes[-1].optimum.edge is None


def test_every_value_lies_on_one_lattice(tmp_path: Path) -> None:
    """All sizes share multiples of half an octave, so their grid bias is common."""
    (axis,) = checked(tmp_path, {"drift": -0.9, "optimum": -6.3}).report.axes

    assert {2 * point.x % 1 for size in axis.sizes for point in size.points} == {0.0}


def test_check_trains_nothing_twice(tmp_path: Path) -> None:
    """A second check trains nothing, gives the same document and measures no coordinates again."""
    log = tmp_path / "log"
    text = recipe_text({"log": str(log)})
    with recipe_session(tmp_path / "runs", text) as session:
        tune(session, quiet=True)
        first = check(session, "ladder.yaml", quiet=True, show=False)
        trained = len(log.read_text().splitlines())
        second = check(session, "ladder.yaml", quiet=True, show=False)

    assert len(log.read_text().splitlines()) == trained
    assert second.document == first.document


def test_transfer_json_has_no_nan_and_says_what_was_checked(tmp_path: Path) -> None:
    """The document is strict JSON with verdict, axes, coordinate checks and the ladder."""
    result = checked(tmp_path, {"drift": -0.9}, depths="[2, 4, 8]")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads(result.files[0].read_text(), parse_constant=refuse)
    assert document["verdict"] == "DRIFTS"
    assert document["checked"] == {"widths": [64, 128, 256, 512], "depths": [2, 4, 8], "batch_sizes": [], "tokens": []}
    assert [report["axis"] for report in document["coordinate"]] == ["width", "depth"]
    assert all(path.stat().st_size > 0 for path in result.files)


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, RowVerdict.HOLDS), (0.9, RowVerdict.FAILS)])
def test_coordinate_check_reports_the_slope(tmp_path: Path, slope: float, verdict: RowVerdict) -> None:
    """Changes that grow as width^0.9 fail the coordinate check; constant ones pass."""
    (report,) = checked(tmp_path, {"slope": slope}).coordinate

    assert report.verdict is verdict
    assert report.rows
    assert all(row.slope == pytest.approx(slope) for row in report.rows)


@pytest.mark.parametrize(("lazy", "verdict"), [(0.0, "HOLDS"), (-0.5, "FAILS")])
def test_linearisation_is_judged_where_it_is_asked_for(tmp_path: Path, lazy: float, verdict: str) -> None:
    """Distances that fall as depth^-1/2 are lazy; without the recipe's word nothing is measured."""
    asked = ", coordinate: {linearisation: true}"
    result = checked(tmp_path, {"lazy": lazy}, depths="[2, 4, 8]", check=asked)

    assert result.document["linearisation"]["verdict"] == verdict
    assert result.document["linearisation"]["slope"]["estimate"] == pytest.approx(lazy)
    assert result.document["linearisation"]["depths"] == [2, 4, 8]
    assert result.document["sharpness"] is None


@pytest.mark.parametrize(("sharp", "verdict"), [(0.0, "HOLDS"), (0.7, "FAILS")])
def test_sharpness_is_judged_where_it_is_asked_for(tmp_path: Path, sharp: float, verdict: str) -> None:
    """Over the ladder of widths, against Adam's 38 for beta1 = 0.9 (Cohen et al. 2207.14484); measured once."""
    result = checked(tmp_path, {"sharp": sharp}, check=", sharpness: true")
    found = result.document["sharpness"]

    assert (found["verdict"], found["threshold"]) == (verdict, pytest.approx(38.0))
    assert [row["width"] for row in found["rows"]] == [64, 128, 256, 512]
    assert found["rows"][0]["ratio"] == pytest.approx(1 / 38, rel=0.01)
    assert result.document["linearisation"] is None


def test_the_noise_scale_is_judged_where_it_is_asked_for(tmp_path: Path) -> None:
    """At the proxy's batch of 64 against a scale of 100 examples; otherwise it is null."""
    found = checked(tmp_path, {}, check=", noise_scale: true").document["noise_scale"]

    assert (found["batch_size"], found["standing"]) == (64, "below")
    assert found["rows"][0]["adapted"]["estimate"] == pytest.approx(100, rel=0.02)
    assert checked(tmp_path / "not", {}).document["noise_scale"] is None


def test_loss_curves_are_compared_where_seeds_allow(tmp_path: Path) -> None:
    """Three seeds at four widths, curves that differ in their end only; with two seeds there is nothing to compare."""
    three = checked(tmp_path / "three", {"curves": True}, seeds=3)
    two = checked(tmp_path / "two", {"curves": True}, seeds=2)

    assert three.document["collapse"]["outcome"] in {"supercollapse", "collapse", "open", "fails"}
    assert len(three.document["collapse"]["curve"]) == 10
    assert len(three.document["collapse"]["sensitivity"]) == 3
    assert two.document["collapse"] is None


def test_a_ladder_that_diverges_everywhere_is_no_verdict(tmp_path: Path) -> None:
    """A size without a finite loss ends with a message about that size, not with a defect."""
    text = recipe_text({"log": str(tmp_path / "log")})
    with recipe_session(tmp_path / "runs", text) as session:
        tune(session, quiet=True)
    blown = recipe_text({"wall": -20.0, "seconds": 0.0})
    (tmp_path / "runs" / "ladder" / "study.db").unlink()
    with recipe_session(tmp_path / "runs", blown) as session, pytest.raises(InconclusiveError, match="w512-d2"):
        check(session, "ladder.yaml", quiet=True, show=False)


def test_check_needs_tuned_values(tmp_path: Path) -> None:
    """Without tuned.yaml the message names the command to run."""
    with (
        recipe_session(tmp_path / "runs", recipe_text({})) as session,
        pytest.raises(UsageError, match="hyperparameters must be tuned first") as error,
    ):
        check(session, "ladder.yaml", quiet=True, show=False)

    assert error.value.findings[0].hint == "run `hptransfer tune ladder.yaml`"


def test_check_refuses_values_of_another_recipe(tmp_path: Path) -> None:
    """Values tuned before the recipe was edited are not checked as if they were tuned with it."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        tune(session, quiet=True)
    edited = recipe_text({}).replace("steps: 10", "steps: 11")
    runs = tmp_path / "runs"
    with recipe_session(runs, edited, on_change="new") as session, pytest.raises(UsageError, match="same recipe"):
        check(session, "ladder.yaml", quiet=True, show=False)


def test_scale_follows_the_verdict(tmp_path: Path) -> None:
    """A target is written after TRANSFERS and refused after DRIFTS, where --force writes the objection into it."""
    for name, drift in (("stays", 0.0), ("moves", -0.9)):
        runs = tmp_path / name / "runs"
        runs.parent.mkdir()
        with recipe_session(runs, recipe_text({"drift": drift})) as session:
            tune(session, quiet=True)
            check(session, "ladder.yaml", quiet=True, show=False)
            if drift == 0.0:
                assert scale(session.loaded, session.folder, "ladder.yaml", force=False).text
                continue
            with pytest.raises(RefusedError, match="DRIFTS"):
                scale(session.loaded, session.folder, "ladder.yaml", force=False)
            forced = scale(session.loaded, session.folder, "ladder.yaml", force=True)
            assert "DRIFTS" in forced.text


def test_sigkill_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Killed at several moments of tune and check and started again, every trial is trained to its end exactly once."""
    log = tmp_path / "log"
    text = recipe_text({"seconds": 0.02, "log": str(log)})
    command = [sys.executable, "-m", "tests.support.sessions", "run", str(tmp_path / "runs"), text]
    (tmp_path / "runs").mkdir()
    finished_before_kill: set[str] = set()
    for moment in (12, 30, 50):  # in tune (10 trials), then twice in check
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while _lines(log) < moment and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        with recipe_session(tmp_path / "runs", text) as session:
            now = {trial.key for trial in session.store.trials()}
        assert finished_before_kill <= now
        finished_before_kill = now

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    with recipe_session(tmp_path / "runs", text) as session:
        keys = Counter(trial.key for trial in session.store.trials())

    assert ended.returncode in (0, 3), ended.stderr
    assert set(keys.values()) == {1}
    # a trial that was recorded as finished is never trained again: only those under way at a kill may appear twice
    repeated = {key for key, count in Counter(log.read_text().split()).items() if count > 1}
    assert len(repeated) <= 2 * 3
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    with recipe_session(undisturbed / "runs", recipe_text({})) as session:
        tune(session, quiet=True)
        check(session, "ladder.yaml", quiet=True, show=False)
        assert {trial.key for trial in session.store.trials()} == set(keys)


def _lines(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_the_transferred_value_is_what_tune_recommended(tmp_path: Path) -> None:
    """The regret is that of the recommended value, not of a grid value near it."""
    result = checked(tmp_path, {"optimum": -6.2})

    (axis,) = result.report.axes
    assert math.log2(axis.transferred) == pytest.approx(-6.2, abs=0.1)
    assert result.document["transferred"] == axis.transferred


def test_the_penalty_at_the_target_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A check ends with what its value is expected to cost at the target, extrapolated from the ladder."""
    with recipe_session(tmp_path / "runs", recipe_text({"drift": 0.0})) as session:
        tune(session, quiet=True)
        check(session, "ladder.yaml", quiet=True, show=True)
    said = capsys.readouterr().out
    assert "prediction at width 1024" in said
    assert "above the best loss there" in said
