"""Which way the objective points: losses are minimised, accuracies and rewards are not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from hptransfer.errors import Place, UsageError
from hptransfer.results_table.column_names import words_of

#: words in the names of objectives of which more is better
_HIGHER = words_of(
    "acc accuracy reward rewards return returns elbo bleu rouge f1 auc auroc roc auprc ap map r2 score scores winrate "
    "precision recall iou miou psnr ssim dice mrr ndcg likelihood loglik logprob logp mcc kappa em top1 top5 pass "
    "elo success correct fitness utility profit sharpe episode_return rew hit hits hits1 hits10 chrf meteor cider "
    "spice spearman spearmanr pearson pearsonr jaccard tpr sensitivity specificity matthews wins fbeta mmlu hellaswag "
    "gsm8k humaneval arc boolq piqa winogrande"
)
_HIGHER_PHRASES = (
    "win_rate",
    "success_rate",
    "pass_rate",
    "solve_rate",
    "accept_rate",
    "win_ratio",
    "r_squared",
    "explained_variance",
    "hit_rate",
    "exact_match",
    "log_likelihood",
    "log_prob",
    "top_1",
    "top_5",
)
#: words that turn the others round: an error, a loss, a negative
_LOWER = words_of(
    "error err errors loss losses ppl perplexity nll ce xent neg negative minus regret mse mae rmse fid wer cer cost "
    "bpb bpc bits distance gap"
)
#: values of a size that show where it peaks
_FEWEST = 4
#: acc written together with what it is of, and numbered ones: valacc, acc1, f1@10
_JOINED = re.compile(r"(val|valid|test|train|eval|dev|top\d*)(acc|accuracy|reward|score)\d*|(acc|ap|map|rouge|bleu)\d+")


def more_is_better(normalized: str) -> bool:
    """Whether a column's name says that higher is better: accuracy, reward, elbo, bleu, auc, f1, win_rate, ...

    Names that also say error, loss, perplexity or negative are losses.

    Args:
        normalized: name of a column, as `normalized_column_name` gives it.
    """
    words = normalized.split("_")
    if _LOWER & set(words) or words[:2] == ["one", "minus"] or words[0] == "1":
        return False
    return bool(
        _HIGHER & set(words)
        or any(phrase in normalized for phrase in _HIGHER_PHRASES)
        or any(_JOINED.fullmatch(word) for word in words)
    )


def says_lower(normalized: str) -> bool:
    """Whether a column's name says that lower is better: loss, error, perplexity, bits per byte, ...

    Args:
        normalized: name of a column, as `normalized_column_name` gives it.
    """
    return bool(_LOWER & set(normalized.split("_")))


def check_shape(source: str, column: str, sizes: Iterable[Mapping[float, Sequence[float]]]) -> None:
    """Refuse values that peak inside the grid and are lowest at its ends: more of them seems to be better.

    Asked of objectives whose name says nothing of the direction, where the user did not say it either.

    Args:
        source: the file as the user called it.
        column: the column of the objective.
        sizes: per size, value of the hyperparameter -> finite objectives of its runs.

    Raises:
        UsageError: more than half of the sizes with four values or more have such values, and at least two.
    """
    peaks, curves = 0, 0
    for size in sizes:
        means = [sum(found) / len(found) for _, found in sorted(size.items()) if found]
        if len(means) >= _FEWEST:
            last = len(means) - 1
            curves += 1
            peaks += means.index(max(means)) not in (0, last) and means.index(min(means)) in (0, last)
    if peaks >= 2 and 2 * peaks > curves:
        raise UsageError(
            "where higher may be better, the direction must be said",
            received=f"`{column}` is highest inside the grid and lowest at its ends, at {peaks} of {curves} sizes",
            hint=f"add `--loss-column {shlex.quote(column)} --maximize`, or `--loss-column {shlex.quote(column)} "
            "--minimize` if lower is better",
            place=Place(source, 1),
            code="results/direction",
        )


def check_direction(source: str, column: str, *, higher: bool, maximize: bool | None, inferred: bool) -> None:
    """Refuse a direction that the name of the objective contradicts and the user did not choose.

    Args:
        source: the file as the user called it.
        column: the column of the objective.
        higher: whether its name says that higher is better.
        maximize: what the user said; None for nothing.
        inferred: whether the column was inferred, so that the user may have meant another.

    Raises:
        UsageError: an accuracy would be minimised, or a loss that nobody named would be maximised.
    """
    if maximize is None and higher:
        raise UsageError(
            "where higher is better, the direction must be said",
            received=f"column `{column}` without --maximize",
            hint=f"add `--loss-column {shlex.quote(column)} --maximize`, or `--minimize` if lower is better in spite "
            "of its name",
            place=Place(source, 1),
            code="results/direction",
        )
    if maximize and inferred and not higher:
        raise UsageError(
            "with --maximize the column must be named where its name does not say that higher is better",
            received=f"column `{column}`",
            hint="name it with --loss-column, or leave --maximize out",
            place=Place(source, 1),
            code="results/direction",
        )
