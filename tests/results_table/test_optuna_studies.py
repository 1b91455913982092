"""Studies that Optuna itself wrote, read from its database without it, and as its table of trials."""

from __future__ import annotations

import logging
import math
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tests.support.judged_tables import judge_in, judged, ladder_of, words
from tests.support.result_tables import Row, csv_of, ladder

ROWS = ladder(widths=(64, 128, 256), seeds=2)
WIDTHS = [64, 128, 256]
RATE = FloatDistribution(2.0**-12, 1.0, log=True)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.logging.get_logger("optuna"), "level", logging.ERROR)


def trial(row: Row, width: BaseDistribution, *, sign: float = 1.0) -> FrozenTrial:
    """A run as a trial; a divergence is a trial whose value is infinite."""
    value = math.inf if math.isnan(row.loss) else row.loss
    return create_trial(
        state=TrialState.COMPLETE,
        value=sign * value,
        params={"lr": row.learning_rate, "width": row.width},
        distributions={"lr": RATE, "width": width},
        user_attrs={"seed": row.seed, "notes": {"host": "a", "list": [1, 2]}},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Databases: one study, several, one that maximizes, one with two objectives."""
    made = tmp_path_factory.mktemp("studies")
    choice, whole = CategoricalDistribution(WIDTHS), IntDistribution(64, 256)
    one = optuna.create_study(storage=f"sqlite:///{made}/one.db", study_name="sweep")
    one.add_trials([trial(row, choice) for row in ROWS])
    one.add_trial(create_trial(state=TrialState.FAIL, params={}, distributions={}))
    for state in (TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING):
        frozen = trial(ROWS[0], choice)
        frozen.state = state
        frozen.datetime_complete = frozen.datetime_complete if state is TrialState.PRUNED else None
        if state is not TrialState.PRUNED:
            frozen.values = None
        one.add_trial(frozen)
    lines = [
        "number,value,datetime_start,params_lr,params_width,user_attrs_seed,state"
    ]  # as `trials_dataframe()` has it
    for each in one.trials:
        cells = [each.number, each.values and each.value, each.datetime_start, each.params.get("lr")]
        cells += [each.params.get("width"), each.user_attrs.get("seed"), each.state.name]
        lines.append(",".join("" if cell is None else str(cell) for cell in cells))
    (made / "one.csv").write_text("\n".join(lines))
    several = [
        optuna.create_study(storage=f"sqlite:///{made}/several.db", study_name=n) for n in ("small one", "other")
    ]
    several[0].add_trials([trial(row, whole) for row in ROWS if row.width < 200])
    several[1].add_trials([trial(row, whole) for row in ROWS if row.width > 200])
    down = optuna.create_study(storage=f"sqlite:///{made}/up.db", direction="maximize")
    down.add_trials([trial(row, whole, sign=-1.0) for row in ROWS])
    optuna.create_study(storage=f"sqlite:///{made}/empty.db", study_name="nothing")
    return made


def test_a_database_is_what_its_export_is(folder: Path, tmp_path: Path) -> None:
    """Categorical widths, infinite losses, attributes, states: as in the table of trials and in the plain one."""
    judge = judge_in(tmp_path)
    database = judge({"one.db": (folder / "one.db").read_bytes()}, "--json")
    export = judge({"one.csv": (folder / "one.csv").read_text()}, "--json")
    plain = judged(judge(csv_of(ROWS), "--json"))

    for result in (database, export):
        found = judged(result)
        assert found["groups"][0]["sizes"] == plain["groups"][0]["sizes"]
        assert found["groups"][0]["drift"] == plain["groups"][0]["drift"]
        assert found["rows"]["used"] == len(ROWS)
        assert sum(found["rows"]["left_out"].values()) == 4
    assert f"{len(ROWS) + 4} trials of the study sweep" in words(database.stderr)
    assert "does not say the direction" in words(export.stderr)
    assert "does not say the direction" not in words(database.stderr)


def test_reading_changes_nothing_and_needs_no_optuna(folder: Path, tmp_path: Path) -> None:
    """Same bytes, no file beside it, in a folder that cannot be written."""
    kept = tmp_path / "kept"
    kept.mkdir()
    shutil.copy(folder / "one.db", kept)
    before = (kept / "one.db").read_bytes()
    kept.chmod(0o555)
    code = (
        "import sys; from pathlib import Path; from hptransfer.results_table.readers import read_table\n"
        f"assert len(read_table(Path({str(kept / 'one.db')!r}))) == {len(ROWS) + 4}\n"
        "print([m for m in ('optuna', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    kept.chmod(0o755)

    assert done.stdout.strip() == "[]"
    assert (kept / "one.db").read_bytes() == before
    assert [each.name for each in kept.iterdir()] == ["one.db"]


def test_changes_that_still_wait_are_read(folder: Path, tmp_path: Path) -> None:
    """A database in write-ahead mode, held open by its writer: all of its trials count, and nothing is touched."""
    path = tmp_path / "waiting.db"
    shutil.copy(folder / "one.db", path)
    writer = sqlite3.connect(path)
    try:
        writer.execute("PRAGMA journal_mode=wal")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("UPDATE studies SET study_name = 'renamed'")
        writer.commit()
        files = {each.name: each.read_bytes() for each in tmp_path.iterdir() if not each.name.endswith("-shm")}
        result = judge_in(tmp_path / "..")({f"{tmp_path.name}/waiting.db": path.read_bytes()}, "--json")
        after = {each.name: each.read_bytes() for each in tmp_path.iterdir() if not each.name.endswith("-shm")}
    finally:
        writer.close()

    assert "trials of the study renamed" in words(result.stderr)
    assert files == after


def test_the_study_must_be_named_where_there_are_several(folder: Path, tmp_path: Path) -> None:
    """The hint quotes the name; one study each, or both together, which are one ladder."""
    judge = judge_in(tmp_path)
    content = {"several.db": (folder / "several.db").read_bytes()}
    refused = judge(content)
    one = judged(judge(content, "--study", "small one", "--json"))
    both = judged(judge(content, "--study", "small one", "--study", "other", "--json"))

    assert refused.exit_code == 2
    assert "--study 'small one'" in refused.stderr
    assert ladder_of(one) == [64, 128]
    assert ladder_of(both) == WIDTHS
    assert both["groups"][0]["drift"] == judged(judge(csv_of(ROWS), "--json"))["groups"][0]["drift"]
    assert judge(content, "--study", "third").exit_code == 2
    assert "--study" in judge(csv_of(ROWS), "--study", "x").stderr


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:100], "must be readable by SQLite"),
        (lambda raw: raw[: len(raw) // 2], "must be readable by SQLite"),
        (lambda raw: raw[:4096] + b"\xff" * (len(raw) - 4096), "must be readable by SQLite"),
        (lambda raw: b"", "must be readable by SQLite"),
        (lambda raw: b"width,lr,loss\n64,0.1,2\n", "must be readable by SQLite"),
    ],
)
def test_damaged_databases_are_refused(
    folder: Path, tmp_path: Path, damage: Callable[[bytes], bytes], said: str
) -> None:
    """Cut short, overwritten, empty, or no database at all: a message, never a traceback."""
    result = judge_in(tmp_path)({"runs.db": damage((folder / "one.db").read_bytes())})

    assert result.exit_code == 2
    assert said in words(result.stderr)
    assert "Traceback" not in result.stderr


def test_foreign_databases_are_refused(folder: Path, tmp_path: Path) -> None:
    """A database of something else, one with views of those names, a study without trials."""
    other = sqlite3.connect(tmp_path / "other.sqlite")
    other.execute("CREATE TABLE runs (width, lr, loss)")
    other.commit()
    other.close()
    judge = judge_in(tmp_path)
    foreign = judge({"other.sqlite": (tmp_path / "other.sqlite").read_bytes()})
    empty = judge({"empty.db": (folder / "empty.db").read_bytes()})

    assert "must be one of Optuna's studies" in words(foreign.stderr)
    assert "a study must hold trials" in words(empty.stderr)
    assert foreign.exit_code == empty.exit_code == 2


def test_a_database_under_another_name_is_seen(folder: Path, tmp_path: Path) -> None:
    """By its first bytes: called runs.csv it is a database all the same."""
    result = judge_in(tmp_path)((folder / "one.db").read_bytes(), "--json")

    assert judged(result)["rows"]["used"] == len(ROWS)


def test_a_study_that_maximizes_says_so_itself(folder: Path, tmp_path: Path) -> None:
    """The same numbers with the other sign, and no option: the judgement is that of the losses."""
    result = judge_in(tmp_path)({"up.db": (folder / "up.db").read_bytes()}, "--json")

    assert "value is maximised: what the report calls loss is -value" in words(result.stderr)
    assert (
        judged(result)["groups"][0]["drift"] == judged(judge_in(tmp_path)(csv_of(ROWS), "--json"))["groups"][0]["drift"]
    )


def test_studies_of_two_directions_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    """Lower is better in one and higher in the other."""
    path = tmp_path / "two.db"
    shutil.copy(folder / "several.db", path)
    database = sqlite3.connect(path)
    database.execute("UPDATE study_directions SET direction = 'MAXIMIZE' WHERE study_id = 2")
    database.commit()
    database.close()
    result = judge_in(tmp_path)({"two.db": path.read_bytes()}, "--study", "small one", "--study", "other")

    assert result.exit_code == 2
    assert "must have one direction" in words(result.stderr)


def test_a_study_that_maximizes_is_judged_by_its_own_direction(folder: Path, tmp_path: Path) -> None:
    """What is maximised is the negative loss: the optima are those of the losses."""
    judge = judge_in(tmp_path)
    result = judge({"up.db": (folder / "up.db").read_bytes()}, "--json")
    plain = judged(judge(csv_of(ROWS), "--json"))["groups"][0]["sizes"]
    found = judged(result)["groups"][0]["sizes"]

    for size, expected in zip(found, plain, strict=True):
        assert size["optimum"]["log2_value"] == pytest.approx(expected["optimum"]["log2_value"], abs=1e-6)
    assert "value is maximised" in words(result.stderr)
