"""What a mistyped word probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_LISTED = 12
#: nobody means a name by a longer word, and difflib is quadratic in its length
_LONGEST = 64
#: ratio of difflib from which a word is taken for a mistyped name: two letters of three
_LIKENESS = 0.66

#: what people write for the names used here
SYNONYMS: dict[str, str] = {
    "adam": "adamw",
    "adam_lr": "adam_learning_rate",
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


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be, or None.

    Synonyms first, then difflib's nearest with a ratio of two thirds or more; case does not count, and among the
    nearest a word of the same letters goes first: swapped letters are the usual mistake.

    Args:
        word: the word that the user wrote.
        candidates: the words that are allowed, in order of preference.
    """
    known = list(candidates)
    if (synonym := SYNONYMS.get(word.casefold())) in known:
        return synonym
    if len(word) > _LONGEST:
        return None
    folded = {name.casefold(): name for name in reversed(known)}
    near = get_close_matches(word.casefold(), folded, n=5, cutoff=_LIKENESS)
    letters = sorted(word.casefold())
    return folded[min(near, key=lambda name: sorted(name) != letters)] if near else None


def hint(word: str, candidates: Sequence[str], noun: str = "") -> str:
    """The hint for a word that is not one of `candidates`: the likely meaning, then what is allowed (at most a dozen).

    Args:
        word: the word that the user wrote.
        candidates: the words that are allowed, at least one.
        noun: what the candidates are, in the plural, for example "keys of `tune`".
    """
    guess = closest(word, candidates)
    listed = ", ".join(f"`{name}`" for name in candidates[:_LISTED])
    more = f" and {len(candidates) - _LISTED} more" if len(candidates) > _LISTED else ""
    allowed = f"{noun or 'allowed'}: {listed}{more}"
    return f"did you mean `{guess}`? {allowed}" if guess else allowed
