"""What a mistyped word probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LISTED = 12

#: what people write for the names used here
SYNONYMS: dict[str, str] = {
    "adam": "adamw",
    "attn_mult": "attention_multiplier",
    "batch": "batch_size",
    "bs": "batch_size",
    "d_head": "head_dim",
    "d_model": "width",
    "embedding_lr": "embedding_learning_rate",
    "grad_clip": "clip",
    "hidden_lr": "hidden_learning_rate",
    "hidden_size": "width",
    "input_lr": "input_learning_rate",
    "layers": "depth",
    "lr": "learning_rate",
    "max": "high",
    "max_steps": "steps",
    "min": "low",
    "n_layer": "depth",
    "n_layers": "depth",
    "n_trials": "trials",
    "output_mult": "output_multiplier",
    "readout_lr": "readout_learning_rate",
    "seq_len": "context",
    "sp": "standard",
    "transformer": "gpt",
    "type": "kind",
    "wd": "weight_decay",
}


def distance(a: str, b: str) -> int:
    """Damerau-Levenshtein distance with adjacent transpositions (the restricted form, "optimal string alignment")."""
    two_back: list[int] = []
    back = list(range(len(b) + 1))
    for i, from_a in enumerate(a, 1):
        row = [i]
        for j, from_b in enumerate(b, 1):
            cost = min(back[j] + 1, row[j - 1] + 1, back[j - 1] + (from_a != from_b))
            if i > 1 and j > 1 and from_a == b[j - 2] and a[i - 2] == from_b:
                cost = min(cost, two_back[j - 2] + 1)
            row.append(cost)
        two_back, back = back, row
    return back[-1]


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be, or None.

    At most 2 edits, at most 1 for words of three letters or fewer; case does not count; of equally near ones the one of
    nearest length, then the first.
    """
    known = list(candidates)
    if (synonym := SYNONYMS.get(word.casefold())) in known:
        return synonym
    if len(word) > 64:  # nobody means a name by it, and the distance is quadratic
        return None
    limit = 1 if len(word) <= 3 else 2
    ranked = sorted(
        (edits, abs(len(word) - len(name)), order, name)
        for order, name in enumerate(known)
        if (edits := distance(word.casefold(), name.casefold())) <= limit
    )
    return ranked[0][3] if ranked else None


def hint(word: str, candidates: Sequence[str], noun: str = "") -> str:
    """The hint for a word that is not one of `candidates`: the likely meaning, then what is allowed (at most a dozen).

    Args:
        word: what was written.
        candidates: what is allowed, at least one.
        noun: what the candidates are, in the plural, for example "keys of `tune`".
    """
    guess = closest(word, candidates)
    listed = ", ".join(f"`{name}`" for name in candidates[:_LISTED])
    more = f" and {len(candidates) - _LISTED} more" if len(candidates) > _LISTED else ""
    allowed = f"{noun or 'allowed'}: {listed}{more}"
    return f"did you mean `{guess}`? {allowed}" if guess else allowed
