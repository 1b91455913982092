"""Before any trial: one forward and one backward pass of the recipe's model, on its own data, with its own loss."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from hptransfer.data._files import files_matching
from hptransfer.errors import Finding, UsageError
from hptransfer.execution.outcome import Failure
from hptransfer.execution.pool import TaskPool
from hptransfer.recipe.defaults import defaults
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.own_code import step_code
from hptransfer.recipe.registered import LOSSES
from hptransfer.recipe.schema import Recipe
from hptransfer.registry import may_run
from hptransfer.trainers.base import TRAINERS
from hptransfer.trials.messages import ENTRY, RehearsalMessage
from hptransfer.trials.spec import TrialSpec

#: of a recipe that is made of these alone, tests of this package have seen that it trains
_SHIPPED_MODELS, _SHIPPED_DATA, _SHIPPED_LOSS = ("gpt", "mlp"), ("stdlib-text", "text"), "next-token"


def needs_rehearsal(recipe: Recipe) -> bool:
    """Whether something of a recipe's runs is the user's own, and workers here can run it.

    Args:
        recipe: gives model, data, loss and who trains.
    """
    if recipe.model.kind == "external" or not TRAINERS.look_up(recipe.trainer.name).capabilities.diagnostics:
        return False
    own_loss = LOSSES.reference(recipe.training.loss) is not None or recipe.training.loss != _SHIPPED_LOSS
    return own_loss or recipe.model.kind not in _SHIPPED_MODELS or recipe.data.kind not in _SHIPPED_DATA


#: a step is taken before any worker runs where the base has at most so many parameters, and files so many bytes
MOST_PARAMETERS, MOST_BYTES = 4_000_000, 64_000_000


def why_no_rehearsal(loaded: LoadedRecipe) -> str | None:
    """Why no first step is taken in a process that only checks a recipe, a clause; None where it is, or none is needed.

    Args:
        loaded: a recipe whose model can be built at its base.
    """
    recipe = loaded.recipe
    own = step_code(recipe)
    if own and not may_run():
        return f"{', '.join(dict.fromkeys(own.values()))} runs with `--trust` only"
    if not needs_rehearsal(recipe):
        return None
    from hptransfer.models.build import build_model

    model = build_model(recipe.model, recipe.base_size.width, recipe.base_size.depth, "meta")
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > MOST_PARAMETERS:
        return f"its base has {count:,} parameters, and `shapes` takes a step of at most {MOST_PARAMETERS:,}"
    patterns = [*getattr(recipe.data, "files", ()), *getattr(recipe.data, "train", ())]
    total = sum(path.stat().st_size for path in files_matching(patterns, loaded.root, "files").values())
    if total > MOST_BYTES:
        return f"its data have {total:,} bytes, and `shapes` reads at most {MOST_BYTES:,}"
    return None


def rehearsal_findings(
    loaded: LoadedRecipe, pool: TaskPool | None = None, fingerprint: str | None = None
) -> tuple[Finding, ...]:
    """Why runs of a recipe could not train, each with its place in the recipe; empty where the first step runs.

    Args:
        loaded: the recipe, with the durations of its sizes.
        pool: of idle workers whose entry is `messages.ENTRY`; None runs it in this process, which then imports torch.
        fingerprint: sha256 (hex) of the recipe's data; None reads them.
    """
    recipe = loaded.recipe
    if not needs_rehearsal(recipe):
        return ()
    spec = TrialSpec(recipe, loaded.root, recipe.base_size, defaults(recipe.training), seed=0)
    faults = _asked(RehearsalMessage.of(spec, fingerprint), pool)
    return tuple(
        Finding(each["rule"], each["received"], each["hint"], loaded.place(tuple(each["key"].split("."))))
        for each in faults
    )


def require_rehearsed(loaded: LoadedRecipe, pool: TaskPool, fingerprint: str) -> None:
    """Refuses a recipe whose first step does not run, before any trial is started.

    Args:
        loaded: the recipe, with the durations of its sizes.
        pool: of idle workers whose entry is `messages.ENTRY`.
        fingerprint: sha256 (hex) of the recipe's data.

    Raises:
        UsageError: it does not, with each place in the recipe.
    """
    findings = rehearsal_findings(loaded, pool, fingerprint)
    if findings:
        first = findings[0]
        error = UsageError(first.rule, received=first.received)
        error.findings = findings
        raise error


def _asked(message: RehearsalMessage, pool: TaskPool | None) -> Sequence[Any]:
    if pool is None:
        module, _, function = ENTRY.partition(":")
        answer = getattr(import_module(module), function)(message.payload())
    else:
        pool.submit("rehearsal", message.payload())
        outcome = pool.next_result()
        if outcome is None or isinstance(outcome, Failure):
            # killed, out of memory, out of time, crashed: trials have a policy for that, with retries
            return ()
        answer = outcome.value
    faults: Sequence[Any] = answer["faults"]
    return faults
