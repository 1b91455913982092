"""A Slurm array script whose tasks are pull workers: requeued, preempted or submitted again, they go on."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from hptransfer.errors import UsageError
from hptransfer.provenance import tool_version

#: seconds before the time limit at which a task stops and queues itself again
NOTICE = 60
_TIME = re.compile(r"^(\d+-)?\d{1,3}(:\d{2}){0,2}$")
_OPTION = re.compile(r"^[a-z][a-z-]*(=[^\s'\"`$\\;|&<>]+)?$")
_OWN = ("array", "requeue", "signal", "open-mode", "time", "job-name", "cpus-per-task", "ntasks", "output", "chdir")

_SCRIPT = """\
#!/bin/bash
# Written by hptransfer {version} for the study {name}. Submit it with `sbatch`; submitting it again is harmless.
# {tasks} workers pull trials from {address}; one of them coordinates, another takes over when it is gone.
# There is no password in here: put it into ~/.pgpass (chmod 600), which every node must see.
{directives}

echo "task ${{SLURM_ARRAY_TASK_ID:-0}} on $(uname -n), restart ${{SLURM_RESTART_COUNT:-0}}"
export OMP_NUM_THREADS={cpus} MKL_NUM_THREADS={cpus} OPENBLAS_NUM_THREADS={cpus}

worker=
requeue=
stop() {{ [ -n "$worker" ] && kill -TERM "$worker" 2>/dev/null; }}
trap 'requeue=1; stop' USR1   # the time limit is near: give the trial back and queue this task again
trap 'stop' TERM INT          # preempted (Slurm queues it again by --requeue) or cancelled: give the trial back

{command} &
worker=$!
wait "$worker"
status=$?
while kill -0 "$worker" 2>/dev/null; do   # a trap ends `wait` before the worker ended
    wait "$worker"
    status=$?
done

if [ -n "$requeue" ]; then
    echo "requeued at the time limit"
    scontrol requeue "$SLURM_JOB_ID" && exit 0
fi
exit "$status"
"""


@dataclass(frozen=True, slots=True)
class ArrayJob:
    """What to ask Slurm for.

    Attributes:
        name: the recipe's name, which is the study's.
        address: of the database, without a password.
        command: what each task runs.
        tasks: number of workers, one per task of the array.
        time: limit of each, in Slurm's form.
        cpus: per worker, which are also its threads.
        folder: for the tasks' output, absolute.
        options: further options of sbatch, "partition=long" for `--partition=long`.
    """

    name: str
    address: str
    command: Sequence[str]
    tasks: int
    time: str
    cpus: int
    folder: str
    options: Sequence[str] = ()


def array_script(job: ArrayJob) -> str:
    """The script's text.

    Raises:
        UsageError: a time or an option that sbatch would not understand, or that the script sets itself.
    """
    if not _TIME.match(job.time):
        raise UsageError("`--time` must be a limit as Slurm writes it", received=job.time, hint="04:00:00 or 1-12")
    for option in job.options:
        if not _OPTION.match(option):
            raise UsageError("`--sbatch` must be NAME or NAME=VALUE", received=option, hint="--sbatch partition=long")
        if option.partition("=")[0] in _OWN:
            raise UsageError("the script sets this option of sbatch itself", received=option)
    directives = [
        f"--job-name=hptransfer-{job.name}",
        f"--array=0-{job.tasks - 1}",
        "--ntasks=1",
        f"--cpus-per-task={job.cpus}",
        f"--time={job.time}",
        "--requeue",
        "--open-mode=append",
        f"--signal=B:USR1@{NOTICE}",
        f'--output="{_quotable(job.folder)}/slurm-%A_%a.out"',
        *(f"--{option}" for option in job.options),
    ]
    return _SCRIPT.format(
        version=tool_version(),
        name=job.name,
        tasks=job.tasks,
        address=job.address,
        cpus=job.cpus,
        directives="\n".join(f"#SBATCH {directive}" for directive in directives),
        command=" ".join(map(shlex.quote, job.command)),
    )


def _quotable(folder: str) -> str:
    """A folder as it may stand in a directive; sbatch reads %-sequences, backslashes and quotes its own way."""
    if re.search(r"[%\"\\\n]", folder):
        raise UsageError(
            "the run folder's path must do without percent signs, quotes and backslashes, which sbatch replaces",
            received=folder,
            hint="choose another with --runs",
        )
    return folder
