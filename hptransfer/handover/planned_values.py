"""What a plan has for all parameters alike, and the sizes of the model that it is of: what files must say as well."""

from __future__ import annotations

from hptransfer.artifacts.target import TargetFile, TrainingRecord
from hptransfer.errors import UsageError
from hptransfer.handover.decoder import decoder_of, grown_heads
from hptransfer.recipe.registered import OPTIMIZERS, unread
from hptransfer.schedule import DECAY_SHARE

#: names in `model_facts`, which a format that leaves the model to the user's code does not say
MODEL_FACTS = (
    "width",
    "layers",
    "heads",
    "key_value_heads",
    "head_dim",
    "feed_forward",
    "vocabulary",
    "gated",
    "rope_theta",
    "norm_eps",
)
_THETA = ("rope_theta", "rope_parameters.rope_theta")
_NORM_EPS = ("rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps")


def run_values(target: TargetFile) -> dict[str, float | str]:
    """Optimizer, clipping, batch and duration, as far as the run uses them; nothing that the user's program decided.

    Args:
        target: planned in any gauge.

    Returns:
        Values by the names of `Reading.values`.
    """
    # a plan has all values that were tuned or set, whatever its optimizer reads; of an unknown one all count
    unused = unread(target.optimizer) if OPTIMIZERS.accepts(target.optimizer) else ()
    values: dict[str, float | str] = {
        name: value for name, value in target.optimizer_values.items() if name not in unused
    }
    values["batch_size"] = target.size.batch_size
    if target.muon_scale is not None:
        values["muon_scale"] = target.muon_scale
    training = target.training
    if training is None:
        return values
    values["steps"] = training.steps
    length, rest = divmod(target.size.tokens, training.steps * target.size.batch_size)
    if rest == 0 and length > 1:
        values["sequence_length"] = length
    if training.schedule != "own":
        values |= {"clip": training.clip or 0.0, "precision": training.precision}
        values["warmup_steps"] = round((training.warmup or 0.0) * training.steps)
    if _falls(training):
        values["floor"] = training.floor
    return values


def _falls(training: TrainingRecord) -> bool:
    """Whether the rate falls to the floor, which an inverse square root only approaches."""
    rising = round((training.warmup or 0.0) * training.steps)
    if training.schedule == "wsd":
        share = DECAY_SHARE if training.decay_share is None else training.decay_share
        return rising < training.steps and round(share * training.steps) > 0
    return training.schedule in ("linear", "cosine") and rising < training.steps


def model_facts(target: TargetFile) -> dict[str, float | str]:
    """Sizes of the decoder that the target is of; empty of a model that is no decoder whose names are known.

    Args:
        target: planned in any gauge.

    Returns:
        Values by the names of `MODEL_FACTS`; those that the recipe does not say are left out.
    """
    try:
        decoder = decoder_of(target)
    except UsageError:
        return {}
    found: dict[str, float | str | None] = {
        "width": decoder.width,
        "layers": decoder.layers,
        "heads": decoder.heads,
        "key_value_heads": decoder.key_value_heads,
        "head_dim": decoder.head_dim,
        "feed_forward": decoder.feed_forward,
        "vocabulary": decoder.vocabulary,
        "gated": "yes" if decoder.gated else "no",
        "rope_theta": _first(decoder.settings, _THETA),
        "norm_eps": _first(decoder.settings, _NORM_EPS),
    }
    return {name: value for name, value in found.items() if value is not None}


def _first(settings: object, keys: tuple[str, ...]) -> float | None:
    found = (settings.get(key) for key in keys) if isinstance(settings, dict) else ()
    return next((float(value) for value in found if isinstance(value, int | float)), None)


def not_compared(target: TargetFile, said: frozenset[str]) -> tuple[str, ...]:
    """What the plan says and a reading does not.

    Args:
        target: planned in any gauge.
        said: names in the reading's `values`.

    Returns:
        Sentences, for "not compared: ..."; of a format that leaves the model to the user's code one for all its sizes.
    """
    # the length of the warmup is in the schedule, which is compared by itself
    missing = [name for name in run_values(target) if name not in said and name != "warmup_steps"]
    facts = model_facts(target)
    if facts and said.isdisjoint(facts):
        missing.append("the model's sizes, which the files leave to your own code")
    else:
        missing += [name for name in facts if name not in said]
    if grown_heads(target) is not None and "heads" not in said:
        missing.append("attention's scale, which heads that grow need")
    return tuple(missing)


def tuned_names(target: TargetFile) -> frozenset[str]:
    """Hyperparameters that the search decided; a program without rows had all others from its own configuration.

    Args:
        target: the one that is written; where it says nothing of a search, all count as searched.
    """
    searched = target.provenance.intervals
    return frozenset(target.hyperparameters if searched is None else searched)
