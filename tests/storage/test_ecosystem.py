"""A run folder as it is, opened by Optuna's own programs."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore
from hptransfer.testing.stores import EXPERIMENT, make_trial, record
from hptransfer.trials.trial import Phase

STUDY = "w64-d2-01234567"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A study with a good, a better and a diverged trial."""
    with OptunaStore(SQLiteFile(tmp_path / "study.db"), EXPERIMENT.digest, EXPERIMENT.space) as store:
        record(store, make_trial("good", 2.5, 0.01))
        record(store, make_trial("better", 2.25, 0.02))
        record(store, make_trial("diverged", math.inf, 0.08))
    return f"sqlite:///{tmp_path}/study.db"


def optuna(*arguments: str) -> Any:
    """What Optuna's command line prints as JSON."""
    program = "from optuna.cli import main; raise SystemExit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "-f", "json"], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def test_optunas_command_line_lists_studies_and_trials(url: str) -> None:
    """`optuna studies`, `trials` and `best-trial`; a diverged trial is complete, with a value worse than all."""
    (study,) = optuna("studies", "--storage", url)
    trials = optuna("trials", "--study-name", STUDY, "--storage", url)
    best = optuna("best-trial", "--study-name", STUDY, "--storage", url)

    assert (study["name"], study["n_trials"]) == (STUDY, 3)
    assert [trial["state"] for trial in trials] == ["COMPLETE"] * 3
    assert [trial["params"]["learning_rate"] for trial in trials] == [0.01, 0.02, 0.08]
    assert trials[2]["value"] > 2.5
    assert (best["value"], best["params"]) == (2.25, {"learning_rate": 0.02})


def test_optuna_dashboard_shows_the_study(url: str) -> None:
    """Its own server, asked for the list of studies and for the study."""
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from optuna_dashboard._cli import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", program, url, "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        (study,) = answer(f"http://127.0.0.1:{port}/api/studies")["study_summaries"]
        trials = answer(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}")["trials"]
    finally:
        server.kill()
        server.wait()

    assert study["study_name"] == STUDY
    assert [trial["values"][0] for trial in trials[:2]] == [2.5, 2.25]


def answer(address: str) -> Any:
    """What a server that is just starting answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as response:  # noqa: S310  # its own server
                return json.load(response)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def test_optuna_reads_curves_as_intermediate_values(tmp_path: Path) -> None:
    """What is reported on the way and the curve of the record, each step once: what optuna-dashboard draws."""
    import optuna as peer

    with OptunaStore(SQLiteFile(tmp_path / "study.db"), EXPERIMENT.digest, EXPERIMENT.space) as store:
        trial = make_trial("good", 2.5, 0.01)
        opened = store.start(trial.key, trial.size, trial.hyperparameters, trial.seed, Phase.SEARCH)
        store.report(opened, [(1, 5.0)])
        running = peer.load_study(study_name=STUDY, storage=f"sqlite:///{tmp_path}/study.db").trials[0]
        store.report(opened, [(1, 9.0)])  # a step is reported once
        store.finish(opened, trial)

    finished = peer.load_study(study_name=STUDY, storage=f"sqlite:///{tmp_path}/study.db").trials[0]
    assert running.intermediate_values == {1: 5.0}
    assert finished.intermediate_values == {1: 5.0, 2: 4.0}
    assert finished.last_step == 2
