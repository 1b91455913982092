"""Fifty SIGKILLs at random moments over one study: minutes of starting and dying, so it runs with -m slow."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.landscape import recipe_text
from tests.support.sessions import in_database, trainings

KILLS = 50
SEEDS = 40  # enough trials that a fast machine does not finish them between fifty kills


def workers_of(pid: int) -> list[int]:
    """Process ids of its children."""
    listing = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listing.stdout.split()]


def kill(process: subprocess.Popen[str], rng: random.Random) -> str:
    """Kills a worker, or the coordinator; who died."""
    workers = workers_of(process.pid)
    if workers and rng.random() < 0.3:
        subprocess.run(["kill", "-9", str(rng.choice(workers))], stderr=subprocess.DEVNULL, check=False)
        return "worker"
    process.kill()
    return "coordinator"


@pytest.mark.slow
def test_fifty_kills_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """While modules load, while the database is made, in the middle of trials and of writes: coordinators and workers.

    After every death of a coordinator: what was finished still is, and is not trained again; in the end each of the 640
    trials of four sizes is finished exactly once.
    """
    rng, died, finished = random.Random(7), Counter[str](), set[str]()
    command = [sys.executable, "-m", "tests.support.sessions", f"grid:{SEEDS}", str(tmp_path / "runs")]
    text = recipe_text({"seconds": 0.05, "log": str(tmp_path / "log")})
    wanted = 4 * 4 * SEEDS
    process = None
    while sum(died.values()) < KILLS:
        if process is None:
            process = subprocess.Popen([*command, text], stderr=subprocess.PIPE, text=True)
            before = trainings(tmp_path)
        if rng.random() < 0.3:
            time.sleep(rng.uniform(0.0, 3.0))
        else:
            goal = len(trainings(tmp_path)) + rng.randint(1, 5)
            while len(trainings(tmp_path)) < goal and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.1))
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        who = kill(process, rng)
        died[who] += 1
        if who == "worker":
            continue
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        time.sleep(0.1)  # workers see the end of their input
        assert set(trainings(tmp_path)[len(before) :]).isdisjoint(finished)
        now = in_database(tmp_path, "COMPLETE")
        assert len(now) == len(set(now))
        assert finished <= set(now)
        finished, process = set(now), None

    if process is None:
        process = subprocess.Popen([*command, text], stderr=subprocess.PIPE, text=True)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    complete, failed = in_database(tmp_path, "COMPLETE"), in_database(tmp_path, "FAIL")
    trained = Counter(trainings(tmp_path))
    print(
        f"\n{KILLS} kills ({dict(died)}): {len(complete)} of {wanted} trials finished, {len(set(complete))} distinct; "
        f"{len(failed)} attempts interrupted or killed; {sum(trained.values()) - len(trained)} trainings repeated"
    )
    assert len(complete) == len(set(complete)) == wanted
    assert in_database(tmp_path, "RUNNING") == []
