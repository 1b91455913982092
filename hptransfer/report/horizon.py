"""Batch, tokens and weight decay of a target, as `scale` says them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hptransfer.artifacts.horizon import HorizonRecord, TimescaleRecord
from hptransfer.parameterization.decay_timescale import share_text, steps_text
from hptransfer.sizes import times_text


def describe_horizon(records: Sequence[HorizonRecord]) -> Iterator[str]:
    """What was measured along batch and tokens, and what is published where nothing was, a line each.

    Args:
        records: those of one target's file.
    """
    for record in records:
        yield record.sentence
        ratio = record.target / record.checked
        if record.published:
            axis = record.axis.replace("_", " ")
            differ = "; they differ because each assumes a path of its own" if len(record.published) > 1 else ""
            yield f"  published, and not applied, for {times_text(ratio)} times the {axis}{differ}:"
        for each in record.published:
            power = f"by the power {each.power:g}: {each.rule} ({each.source})"
            yield f"    {record.hyperparameter} {each.value:.4g} {power}"
            yield f"      holds {each.holds}"


def describe_timescales(records: Sequence[TimescaleRecord]) -> Iterator[str]:
    """Over how much of the run weight decay averages, a line for each group of parameters.

    Args:
        records: those of one target's file.
    """
    for record in records:
        there = "" if record.proxy_share is None else f", at the proxy {record.proxy_share:.3g}"
        named = ", ".join(record.parameters)
        yield f"weight decay averages over {share_text(record.share)}{there} ({steps_text(record.steps)}): {named}"
