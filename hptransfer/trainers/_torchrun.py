"""A trial that several processes train: torchrun starts them, gloo carries the gradients, the first one answers.

Started by a worker as `torchrun --standalone --nproc-per-node N -m hptransfer.trainers._torchrun FOLDER`; the folder
holds the payload and receives the result, or an exception's text per process.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from hptransfer.execution.outcome import KilledError
from hptransfer.execution.worker import die_with
from hptransfer.trainers._torch_runs import train_trial
from hptransfer.trials.messages import TrialMessage, TrialResult

_PAYLOAD, _RESULT, _ERROR = "payload.json", "result.json", "error-{}.txt"
#: how torchrun tells the fate of a process: minus the signal's number
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")


def run_processes(message: TrialMessage, processes: int) -> TrialResult:
    """Train one model with several processes on this machine.

    Args:
        message: the run, its key and the fingerprint of its data.
        processes: how many train it together, at least 2.

    Returns:
        The finished trial, as `train_trial` gives it.

    Raises:
        KilledError: a process was killed.
        RuntimeError: a process failed; the text is that of its exception.
    """
    with tempfile.TemporaryDirectory(prefix="hptransfer-ranks-") as name:
        folder = Path(name)
        (folder / _PAYLOAD).write_text(json.dumps(message.payload()), encoding="utf-8")
        launch = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}", "--max-restarts=0"]
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", *launch, "-m", "hptransfer.trainers._torchrun", name],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(),
        )
        result = folder / _RESULT
        if done.returncode == 0 and result.exists():
            return TrialResult.parse(json.loads(result.read_text(encoding="utf-8")))
        raise failure(folder, processes, done.stderr)


def _environment() -> dict[str, str]:
    """This process's modules, not the working directory's; the loopback, as a host's own name may lead nowhere."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return os.environ | {
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
    }


def failure(folder: Path, processes: int, said: str) -> Exception:
    """What went wrong; one process that dies makes torchrun end the others with SIGTERM, and those may tell errors."""
    signals = {-int(code) for code in _EXIT_CODE.findall(said) if int(code) < 0}
    if signal.SIGKILL in signals:
        return KilledError(f"one of {processes} processes was ended by signal {signal.SIGKILL.value}")
    crashed = sorted(signals - {signal.SIGTERM})
    if crashed:
        return RuntimeError(f"one of {processes} processes crashed with signal {crashed[0]}")
    told = [path.read_text() for rank in range(processes) if (path := folder / _ERROR.format(rank)).exists()]
    if told:
        first, _, details = told[0].partition("\n")
        error = RuntimeError(first)
        error.add_note(details)
        return error
    if signals:
        return KilledError(f"one of {processes} processes was ended by signal {signal.SIGTERM.value}")
    return RuntimeError(f"torchrun failed: {(said.strip().splitlines() or ['it said nothing'])[-1]}")


def main(folder: Path) -> None:
    """What each process does: train its share, and the first one writes the result."""
    die_with(os.getppid())  # torchrun puts processes into sessions of their own, where no signal to a group finds them
    rank = int(os.environ["RANK"])
    try:
        _train(folder)
    except BaseException as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        (folder / _ERROR.format(rank)).write_text(f"{text}\n{traceback.format_exc()}")
        raise


def _train(folder: Path) -> None:
    from torch import distributed

    from hptransfer.training.device import device_of_run
    from hptransfer.training.shard import Shard

    message = TrialMessage.parse(json.loads((folder / _PAYLOAD).read_text(encoding="utf-8")))
    training = message.recipe.training
    device = device_of_run(training.device, int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"]))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    shard = Shard(distributed.get_rank(), distributed.get_world_size())
    result = train_trial(message, shard)
    if shard.rank == 0:
        (folder / _RESULT).write_text(json.dumps(result.payload()), encoding="utf-8")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
