"""`hptransfer slurm`: writes an array script of pull workers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from hptransfer.cluster.postgres import find_address
from hptransfer.cluster.sbatch import ArrayJob, array_script
from hptransfer.files import write_atomically
from hptransfer.recipe.load import load_recipe
from hptransfer.storage.run_folder import RunFolder


def slurm_command(
    recipe: str,
    storage: str | None,
    runs: Path,
    workers: int,
    time: str,
    cpus: int,
    lead: str,
    lease: float,
    sbatch: Sequence[str],
    output: Path | None,
) -> int:
    """Write the script and say what to do with it.

    Args:
        recipe: path or name of a recipe.
        storage: address of the database; default: HPTRANSFER_STORAGE.
        runs: the folder of run folders; every node must see it.
        workers: tasks of the array.
        time: limit of each.
        cpus: threads of each.
        lead: command that one of them coordinates with.
        lease: seconds after which a silent worker's trial is given to another.
        sbatch: further options of sbatch.
        output: the file; default: `array.sbatch` in the run folder.

    Returns:
        0.

    Raises:
        RecipeError, UsageError: it cannot be written.
    """
    address = find_address(storage)
    loaded = load_recipe(recipe)
    folder = RunFolder(runs / loaded.recipe.name)
    script = output or folder.path / "array.sbatch"
    arguments = {
        "--storage": str(address),
        "--runs": str(runs.absolute()),
        "--lead": lead,
        "--workers": str(workers),
        "--lease": f"{lease:g}",
    }
    pairs = [text for pair in arguments.items() for text in pair]
    command = [sys.executable, "-m", "hptransfer", "worker", str(loaded.path.absolute()), *pairs]
    name, log = loaded.recipe.name, str(folder.path)
    write_atomically(
        script, array_script(ArrayJob(name, str(address), command, workers, time, cpus, log, tuple(sbatch)))
    )
    print(f"written to {script}")
    print(f"next: `hptransfer study init {recipe} --storage '{address}'` once, then `sbatch {script}`")
    return 0
