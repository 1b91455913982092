"""Launch lines of several processes, GPUs that one run holds alone, and torchrun for real."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hptransfer.errors import UsageError
from hptransfer.recipe.command_sections import Resources
from hptransfer.trainers._launch import launched, leased, resources_for
from tests.support.commands import command_recipe, logs, trained

COMMAND = ["python", "train.py", "--lr", "0.1"]
KEY = "00000010ffff0000"


def line(command: list[str] = COMMAND, **resources: Any) -> str:
    """The launch line as text."""
    return " ".join(launched(command, Resources(**resources), KEY))


def test_the_first_entry_that_is_wide_enough_holds() -> None:
    """The last one has no limit; none at all is one process."""
    given = [Resources(up_to_width=512), Resources(up_to_width=1024, gpus=1), Resources(gpus=4)]

    assert [resources_for(given, width).gpus for width in (64, 512, 513, 1024, 4096)] == [0, 0, 1, 1, 4]
    assert resources_for([], 64) == Resources()


@pytest.mark.parametrize(
    ("resources", "wanted"),
    [
        ({}, "python train.py --lr 0.1"),
        ({"launcher": "torchrun"}, "python train.py --lr 0.1"),
        ({"processes": 4}, "python train.py --lr 0.1"),  # it starts them by itself
        (
            {"processes": 4, "launcher": "torchrun"},
            "python -m torch.distributed.run --standalone --local-addr=127.0.0.1 --nproc-per-node=4 --max-restarts=0 "
            "train.py --lr 0.1",
        ),
        (
            {"processes": 4, "gpus": 4, "nodes": 2, "launcher": "srun"},
            "srun --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 --exact --unbuffered --kill-on-bad-exit=1 "
            "python train.py --lr 0.1",
        ),
        (
            {"processes": 4, "gpus": 4, "nodes": 2, "launcher": "torchrun"},
            "srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 --exact --unbuffered --kill-on-bad-exit=1 "
            "python -m torch.distributed.run --nnodes=2 --rdzv-backend=c10d --rdzv-id=00000010ffff0000 "
            "--rdzv-endpoint=first-node:21270 --nproc-per-node=4 --max-restarts=0 train.py --lr 0.1",
        ),
    ],
)
def test_launch_lines(resources: dict[str, Any], wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun's and srun's manuals have them."""
    monkeypatch.setattr("socket.gethostname", lambda: "first-node")

    assert line(**resources) == wanted


def test_torchrun_starts_modules_and_other_programs() -> None:
    """`python -m module`, and what is no Python script."""
    assert line(["python3", "-m", "lm.train"], processes=2, launcher="torchrun").endswith(
        "--max-restarts=0 -m lm.train"
    )
    other = line(["./train", "x"], processes=2, launcher="torchrun")
    assert other.startswith("torchrun --standalone")
    assert other.endswith("--no-python ./train x")


def test_torchrun_takes_no_options_of_the_interpreter() -> None:
    """It would take them for its own."""
    with pytest.raises(UsageError, match="a script or `-m module`"):
        line(["python", "-u", "train.py"], processes=2, launcher="torchrun")


def test_gpus_are_held_by_one_run_alone(tmp_path: Path) -> None:
    """Two runs of two GPUs each share four; a third waits until one has ended."""
    got: list[tuple[str, ...]] = []

    def third() -> None:
        with leased(2, ["0", "1", "2", "3"], tmp_path) as gpus:
            got.append(gpus)

    with leased(2, ["0", "1", "2", "3"], tmp_path) as first:
        with leased(2, ["0", "1", "2", "3"], tmp_path) as second:
            waiting = threading.Thread(target=third)
            waiting.start()
            time.sleep(0.5)
            assert not got
        waiting.join(10)

    assert (first, second, got) == (("0", "1"), ("2", "3"), [("2", "3")])


def test_more_gpus_than_there_are_are_refused(tmp_path: Path) -> None:
    """Nobody would ever have them."""
    with pytest.raises(UsageError, match="more GPUs than there are"), leased(2, ["0"], tmp_path):
        raise AssertionError


def test_a_killed_holder_frees_its_gpus(tmp_path: Path) -> None:
    """The system lets go of a lock with its process."""
    script = (
        "import sys, time; from pathlib import Path; from hptransfer.trainers._launch import leased\n"
        "with leased(1, ['0'], Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()

    with leased(1, ["0"], tmp_path) as gpus:
        assert gpus == ("0",)


def test_a_run_sees_the_gpus_that_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that its worker's coordinator sees are shared, not only the worker's own."""
    monkeypatch.setenv("HPTRANSFER_GPUS", "0,1,2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setattr("hptransfer.trainers._launch._lock_folder", lambda: tmp_path / "locks")
    words = ["/bin/sh", "-c", "echo $CUDA_VISIBLE_DEVICES {gpus}; echo loss 1", "{width}", "{learning_rate}", "{seed}"]
    section = {"command": words, "results": {"stdout": "loss (.*)"}, "resources": [{"gpus": 2}]}
    trained(command_recipe(section), tmp_path)

    assert (logs(tmp_path) / "stdout.txt").read_text().splitlines()[0] == "0,1 2"


@pytest.mark.skipif("srun" in os.listdir("/usr/bin"), reason="Slurm is here")
def test_without_slurm_several_nodes_are_refused(tmp_path: Path) -> None:
    """With what to do."""
    words = ["true", "{width}", "{learning_rate}", "{seed}"]
    section = {"command": words, "results": {"stdout": "loss (.*)"}, "resources": [{"nodes": 2}]}

    with pytest.raises(Exception, match="several nodes, and `launcher: srun`, need Slurm"):
        trained(command_recipe(section), tmp_path)


def test_torchrun_trains_one_run_with_two_processes(tmp_path: Path) -> None:
    """For real: gloo adds what two processes give, and the first one prints it."""
    (tmp_path / "train.py").write_text(
        textwrap.dedent(
            """
            import sys
            import torch
            from torch import distributed

            distributed.init_process_group("gloo")
            given = torch.tensor([float(sys.argv[1]) + distributed.get_rank()])
            distributed.all_reduce(given)
            if distributed.get_rank() == 0:
                print("loss", given.item(), "of", distributed.get_world_size(), flush=True)
            distributed.barrier()
            distributed.destroy_process_group()
            """
        )
    )
    section = {
        "command": [sys.executable, "train.py", "{width}", "{learning_rate}", "{seed}"],
        "results": {"stdout": r"loss (\S+) of 2"},
        "resources": [{"up_to_width": 8}, {"processes": 2, "launcher": "torchrun"}],
    }
    trial = trained(command_recipe(section), tmp_path)

    assert trial.loss == 33.0
    assert trial.provenance["processes"] == "2"
