"""A finished run against its registered prediction, in words."""

from __future__ import annotations

from hptransfer.report.prediction import describe_ends
from hptransfer.scaling.verify import Verification
from hptransfer.sizes import size_text


def describe_comparison(found: Verification) -> str:
    """The comparison as lines, what it rests on after what was found.

    Args:
        found: a finished run against what was predicted.
    """
    predicted, written = describe_ends(found.prediction["loss"]), found.prediction["written"]
    word = "INSIDE" if found.inside else "OUTSIDE"
    sizes = found.prediction["target"].items()
    where = ", ".join(f"{axis.replace('_', ' ')} {size_text(each)}" for axis, each in sizes)
    lines = [
        f"{word}: loss {found.loss:.5g}, predicted {predicted}{f' for {where}' if where else ''}",
        f"the prediction is that of {found.path}, registered {written}",
    ]
    if found.objections:
        lines.append(f"FORCED: the evidence does not stand behind it: {'; '.join(found.objections)}")
    if registered := found.prediction.get("objective", {}).get("evaluation"):
        lines.append(f"the prediction holds for {registered}, and for no other evaluation")
        if found.evaluation is None:
            lines.append("the loss is taken to be measured there: say `--evaluation NAME` to have that compared")
    return "\n".join(lines)
