"""On a CPU the same recipe gives the same losses bit for bit, whoever trains them and in whatever order."""

from __future__ import annotations

from pathlib import Path

from hptransfer.artifacts.tuned import Tuned
from hptransfer.engine.open_session import open_session
from tests.support.sessions import tune_and_write

RECIPE = """\
name: tiny
model: {kind: gpt, context: 8, head_dim: 8}
data: {kind: text, files: ["*.txt"]}
training: {steps: 20, batch_size: 8, evaluation_batches: 2}
parameterization: {name: completep}
sizes:
  base: {width: 16, depth: 2}
  widths: [16, 32, 64, 128]
  target: {width: 1024, depth: 2}
tune:
  space: {learning_rate: {low: 1e-4, high: 1e-1}}
  trials: 8
"""


def tuned(folder: Path, workers: int) -> tuple[Tuned, dict[str, tuple[float, tuple[tuple[int, float], ...]]]]:
    """Tunes in a folder of its own, in new processes; the result, and losses and curves by key."""
    folder.mkdir()
    (folder / "a.txt").write_text("def add(left, right):\n    return left + right\n" * 200)
    (folder / "recipe.yaml").write_text(RECIPE)
    with open_session(folder / "recipe.yaml", folder / "runs", workers) as session:
        result = tune_and_write(session)
        return result, {trial.key: (trial.loss, trial.curve) for trial in session.store.trials()}


def test_losses_do_not_depend_on_the_run_or_the_number_of_workers(tmp_path: Path) -> None:
    """Eight searched and two confirmed trials, by one worker and by two: equal losses, curves and decisions."""
    one, losses = tuned(tmp_path / "one", 1)
    two, again = tuned(tmp_path / "two", 2)

    assert len(losses) == 10
    assert again == losses
    assert two.recommended == one.recommended
    assert two.intervals == one.intervals
    assert two.confirmation == one.confirmation
