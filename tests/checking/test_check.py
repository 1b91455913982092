"""check: verdicts on ladders with known optima, reuse of trials, extension at edges, survival of SIGKILL."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from hptransfer.artifacts.transfer import read_transfer
from hptransfer.checking.check import check
from hptransfer.checking.diagnose import diagnose
from hptransfer.checking.result import CheckResult
from hptransfer.diagnostics.base import DIAGNOSTICS, Diagnostic
from hptransfer.errors import InconclusiveError, RefusedError, UsageError
from hptransfer.registry import Registry
from hptransfer.report.check import render_check
from hptransfer.scaling.scale import scale
from hptransfer.statistics.slope import RowVerdict
from hptransfer.verdict import Verdict
from tests.support.ladder import recipe_text
from tests.support.sessions import check_and_save, recipe_session, tune_and_write

ROOT = Path(__file__).parents[2]


def checked(
    tmp_path: Path, landscape: Mapping[str, Any], diagnostics: Sequence[str] = (), **options: Any
) -> CheckResult:
    """Tunes and checks on a ladder."""
    with recipe_session(tmp_path / "runs", recipe_text(landscape, **options)) as session:
        tune_and_write(session)
        return check_and_save(session, diagnostics=diagnostics)


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


def test_one_seed_transfers_with_a_limit(tmp_path: Path) -> None:
    """A perfect ladder of four widths over 8x settles with one seed, and the report says what that rests on."""
    result = checked(tmp_path, {"drift": 0.0}, seeds=1)

    assert result.report.verdict is Verdict.TRANSFERS
    assert any(limit.startswith("One seed") for axis in result.report.axes for limit in axis.limits)


def test_rounds_are_recorded(tmp_path: Path) -> None:
    """transfer.json says what each round was spent on: trials, drift interval, verdict, and why it ended."""
    adaptive = checked(tmp_path, {"drift": 0.0}, check=", adaptive: true").document["adaptive"]

    assert adaptive["ended"] == "decided"
    assert [each["verdict"] for each in adaptive["rounds"][-2:]] == ["TRANSFERS", "TRANSFERS"]
    assert all(each["axes"][0]["drift"]["low"] < 0 < each["axes"][0]["drift"]["high"] for each in adaptive["rounds"])
    assert all(each["spent_on"] for each in adaptive["rounds"])


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
        tune_and_write(session)
        first = check_and_save(session)
        trained = len(log.read_text().splitlines())
        second = check_and_save(session)

    assert len(log.read_text().splitlines()) == trained
    assert second.document == first.document


def test_transfer_json_has_no_nan_and_says_what_was_checked(tmp_path: Path) -> None:
    """The document is strict JSON with verdict, axes, coordinate checks and the ladder."""
    result = checked(tmp_path, {"drift": -0.9}, depths="[2, 4, 8]")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    folder = tmp_path / "runs" / "ladder"
    document = json.loads((folder / "transfer.json").read_text(), parse_constant=refuse)
    assert document["verdict"] == "DRIFTS"
    assert document["checked"] == {"widths": [64, 128, 256, 512], "depths": [2, 4, 8], "batch_sizes": [], "tokens": []}
    assert [report["axis"] for report in document["diagnostics"]["coordinate"]] == ["width", "depth"]
    assert all(path.stat().st_size > 0 for path in (folder / "figures").iterdir())
    assert read_transfer(folder / "transfer.json") == result.evidence


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, RowVerdict.HOLDS), (0.9, RowVerdict.FAILS)])
def test_coordinate_check_reports_the_slope(tmp_path: Path, slope: float, verdict: RowVerdict) -> None:
    """Changes that grow as width^0.9 fail the coordinate check; constant ones pass."""
    (report,) = checked(tmp_path, {"slope": slope}).diagnosed("coordinate")

    assert report.verdict is verdict
    assert report.rows
    assert all(row.slope == pytest.approx(slope) for row in report.rows)


@pytest.mark.parametrize(("lazy", "verdict"), [(0.0, "HOLDS"), (-0.5, "FAILS")])
def test_linearisation_is_judged_where_it_is_asked_for(tmp_path: Path, lazy: float, verdict: str) -> None:
    """Distances that fall as depth^-1/2 are lazy; without the recipe's word nothing is measured."""
    asked = ", diagnostics: [linearization]"
    found = checked(tmp_path, {"lazy": lazy}, depths="[2, 4, 8]", check=asked).document["diagnostics"]

    assert found["linearization"]["verdict"] == verdict
    assert found["linearization"]["slope"]["estimate"] == pytest.approx(lazy)
    assert found["linearization"]["depths"] == [2, 4, 8]
    assert set(found) == {"coordinate", "linearization", "interactions", "collapse"}


@pytest.mark.parametrize(("sharp", "verdict"), [(0.0, "HOLDS"), (0.7, "FAILS")])
def test_sharpness_is_judged_where_it_is_asked_for(tmp_path: Path, sharp: float, verdict: str) -> None:
    """Over the ladder of widths, against Adam's 38 for beta1 = 0.9 (Cohen et al. 2207.14484); measured once."""
    result = checked(tmp_path, {"sharp": sharp}, diagnostics=["sharpness"])
    found = result.document["diagnostics"]["sharpness"]

    assert (found["verdict"], found["threshold"]) == (verdict, pytest.approx(38.0))
    assert [row["width"] for row in found["rows"]] == [64, 128, 256, 512]
    assert found["rows"][0]["ratio"] == pytest.approx(1 / 38, rel=0.01)


def test_the_noise_scale_is_judged_where_it_is_asked_for(tmp_path: Path) -> None:
    """At the proxy's batch of 64 against a scale of 100 examples; otherwise it is not measured."""
    found = checked(tmp_path, {}, check=", diagnostics: [noise-scale]").document["diagnostics"]["noise-scale"]

    assert (found["batch_size"], found["position"]) == (64, "below")
    assert found["rows"][0]["adapted"]["estimate"] == pytest.approx(100, rel=0.02)
    assert "noise-scale" not in checked(tmp_path / "not", {}).document["diagnostics"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("sharpnes", "did you mean `sharpness`"), ("linearization", "for example [4, 8, 16]")],
)
def test_a_diagnostic_that_cannot_be_made_is_refused_before_training(tmp_path: Path, name: str, said: str) -> None:
    """What the command line asks for is held to the rules of the recipe."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        tune_and_write(session)
        with pytest.raises(UsageError) as error:
            check_and_save(session, diagnostics=[name])

    assert said in str(error.value.findings[0].hint)
    assert not (tmp_path / "runs" / "ladder" / "measurements").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("DIAGNOSTIC = 5", "type int whose `always` is no bool"),
        ("DIAGNOSTIC = Own", "a class; name an object of it"),
        ("DIAGNOSTIC = Own()\nDIAGNOSTIC.stage = 'late'", "type Own whose `stage` is no Stage"),
        ("DIAGNOSTIC = Own()\nDIAGNOSTIC.show = None", "type Own without a function `show`"),
        ("exit()", "SystemExit"),
    ],
)
def test_what_is_no_diagnostic_is_refused_when_it_is_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    """Before anything is trained; with what is wrong with it."""
    head = "from sys import exit\nfrom hptransfer.diagnostics.base import Diagnostic\nclass Own(Diagnostic): pass\n"
    (tmp_path / "odd_diagnostic.py").write_text(f"{head}{source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd_diagnostic", raising=False)

    with pytest.raises(UsageError) as error:
        DIAGNOSTICS.look_up("odd_diagnostic:DIAGNOSTIC")
    assert said in str(error.value.findings[0].received)


@pytest.mark.parametrize("function", ["requests", "judge", "show", "document"])
def test_a_diagnostic_that_exits_is_a_users_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """Whichever of its functions does."""
    diagnostic = type(
        "Own",
        (Diagnostic,),
        {"judge": lambda self, facts, measured: 1, "show": lambda self, report: (), function: lambda *_: sys.exit()},
    )()
    monkeypatch.setattr(Registry, "look_up", lambda self, name: diagnostic)

    with pytest.raises(UsageError, match="a diagnostic must"):
        diagnose("own:X", diagnostic, SimpleNamespace(recipe=recipe_facts()), None)  # type: ignore[arg-type]


def recipe_facts() -> SimpleNamespace:
    """As much of a recipe as a diagnostic without measurements is asked for."""
    return SimpleNamespace(trainer=SimpleNamespace(name="torch", watches=False))


def test_a_diagnostic_of_ones_own_is_made_like_the_built_in_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named as `module:attribute`: measured by workers once, judged, printed, and part of transfer.json."""
    name = "tests.plugin.hptransfer_lab.diagnostic:DIAGNOSTIC"
    text = recipe_text({}, check=f', diagnostics: ["{name}"]')
    with recipe_session(tmp_path / "runs", text) as session:
        tune_and_write(session)
        first = check_and_save(session, show=True)
        kept = list((tmp_path / "runs" / "ladder" / "measurements").glob("tests.plugin*"))
        measured = [path.read_text() for path in kept]
        second = check_and_save(session)

    assert first.document["diagnostics"][name] == {"sizes": [64, 128, 256, 512], "sum": 960 * 3}
    assert "widths add up to 2880 ±0" in capsys.readouterr().out
    assert second.document == first.document
    assert [path.read_text() for path in kept] == measured != []


def test_nothing_is_printed_and_no_result_written_by_the_library(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` returns what it found; the same parts that a listener hears of are what is printed afterwards."""
    with recipe_session(tmp_path / "runs", recipe_text({}, expect="TRANSFERS")) as session:
        tune_and_write(session)
        capsys.readouterr()
        result = check(session, "ladder.yaml")
        silent = capsys.readouterr()
        assert not session.folder.transfer.exists()
        check_and_save(session, show=True)
        streamed = capsys.readouterr().out
        render_check(result, Console(highlight=False))

    assert (silent.out, silent.err) == ("", "")
    assert capsys.readouterr().out == streamed
    assert streamed.endswith("expect.verdict: expected TRANSFERS, found TRANSFERS: met\n")


def test_loss_curves_are_compared_where_seeds_allow(tmp_path: Path) -> None:
    """Three seeds at four widths of equal tokens per parameter; with two seeds, or equal tokens, there is nothing."""
    counts = "parameters: {w64-d2: 2048, w128-d2: 4096, w256-d2: 8192, w512-d2: 16384, w1024-d2: 32768}"

    def collapse(name: str, seeds: int, length: str) -> Any:
        text = recipe_text({"curves": True}, seeds=seeds, ladders=counts).replace("steps: 10", length)
        with recipe_session(tmp_path / name, text) as session:
            tune_and_write(session)
            return check_and_save(session).document["diagnostics"]["collapse"]

    three, two = collapse("three", 3, "tokens_per_parameter: 20"), collapse("two", 2, "tokens_per_parameter: 20")
    assert collapse("equal tokens", 3, "steps: 10") is None
    assert three["outcome"] in {"supercollapse", "collapse", "open", "fails"}
    assert len(three["curve"]) == 10
    assert len(three["sensitivity"]) == 3
    assert two is None


def test_a_ladder_that_diverges_everywhere_is_no_verdict(tmp_path: Path) -> None:
    """A size without a finite loss ends with a message about that size, not with a defect."""
    text = recipe_text({"log": str(tmp_path / "log")})
    with recipe_session(tmp_path / "runs", text) as session:
        tune_and_write(session)
    blown = recipe_text({"wall": -20.0, "seconds": 0.0})
    for name in ("study.db", "recipe.json"):  # with the one alone the database is missed
        (tmp_path / "runs" / "ladder" / name).unlink()
    with recipe_session(tmp_path / "runs", blown) as session, pytest.raises(InconclusiveError, match="w512-d2"):
        check_and_save(session)


def test_check_needs_tuned_values(tmp_path: Path) -> None:
    """Without tuned.yaml the message names the command to run."""
    with (
        recipe_session(tmp_path / "runs", recipe_text({})) as session,
        pytest.raises(UsageError, match="hyperparameters must be tuned first") as error,
    ):
        check_and_save(session)

    assert error.value.findings[0].hint == f"run `hptransfer tune ladder.yaml --runs {tmp_path}/runs`"


def test_check_refuses_values_of_another_recipe(tmp_path: Path) -> None:
    """Values tuned before the recipe was edited are not checked as if they were tuned with it."""
    with recipe_session(tmp_path / "runs", recipe_text({})) as session:
        tune_and_write(session)
    edited = recipe_text({}).replace("steps: 10", "steps: 11")
    runs = tmp_path / "runs"
    with recipe_session(runs, edited, on_change="new") as session, pytest.raises(UsageError, match="same recipe"):
        check_and_save(session)


def test_scale_follows_the_verdict(tmp_path: Path) -> None:
    """A target is written after TRANSFERS and refused after DRIFTS, where --force writes the objection into it."""
    for name, drift in (("stays", 0.0), ("moves", -0.9)):
        runs = tmp_path / name / "runs"
        runs.parent.mkdir()
        with recipe_session(runs, recipe_text({"drift": drift}), fingerprint=None) as session:  # scale reads the data
            tune_and_write(session)
            check_and_save(session)
            if drift == 0.0:
                assert "TRANSFERS" in scale(session.loaded, session.folder, "ladder.yaml", force=False).text
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
        tune_and_write(session)
        check_and_save(session)
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
        tune_and_write(session)
        check_and_save(session, show=True)
    said = capsys.readouterr().out
    assert "prediction at width 1024" in said
    assert "above the best loss there" in said
