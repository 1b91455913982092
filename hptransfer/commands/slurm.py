"""`hptransfer slurm`: writes an array script of pull workers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from hptransfer.cli.options import Lease, RecipeArgument, Runs, SharedStorage
from hptransfer.engine.options import DEFAULT_RUNS, TrainingCommand


def slurm_command(
    recipe: RecipeArgument,
    storage: SharedStorage = None,
    runs: Runs = DEFAULT_RUNS,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Workers, one per task of the array.")] = 16,
    time: Annotated[str, typer.Option(metavar="LIMIT", help="Time limit of a task; it requeues itself.")] = "04:00:00",
    cpus: Annotated[int, typer.Option(min=1, max=256, help="Processors, and threads, of a worker.")] = 1,
    lead: Annotated[TrainingCommand, typer.Option(help="What the workers work on together.")] = TrainingCommand.RUN,
    lease: Lease = 60.0,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Further option of sbatch; repeatable.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: array.sbatch in the run folder.", show_default=False)
    ] = None,
) -> int:
    """Write a Slurm array script of workers.

    Every node must see the run folder.

    Returns:
        0.

    Raises:
        RecipeError, UsageError: it cannot be written.
    """
    from hptransfer.cluster.postgres import find_address
    from hptransfer.cluster.sbatch import ArrayJob, array_script
    from hptransfer.files import write_atomically
    from hptransfer.recipe.load import load_recipe
    from hptransfer.storage.run_folder import RunFolder

    address = find_address(storage)
    loaded = load_recipe(recipe)
    folder = RunFolder(runs / loaded.recipe.name)
    script = output or folder.path / "array.sbatch"
    arguments = {
        "--storage": str(address),
        "--runs": str(runs.absolute()),
        "--lead": str(lead),
        "--workers": str(workers),
        "--lease": f"{lease:g}",
    }
    pairs = [text for pair in arguments.items() for text in pair]
    command = [sys.executable, "-m", "hptransfer", "worker", str(loaded.path.absolute()), *pairs]
    name, log = loaded.recipe.name, str(folder.path)
    write_atomically(
        script, array_script(ArrayJob(name, str(address), command, workers, time, cpus, log, tuple(sbatch or ())))
    )
    print(f"written to {script}")
    print(f"next: `hptransfer study init {recipe} --storage '{address}'` once, then `sbatch {script}`")
    return 0
