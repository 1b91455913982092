"""All parameters of a model decided at once: what cannot be decided, and answers that do not fit, are told together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hptransfer.errors import Finding, UsageError
from hptransfer.models.comparison import Comparison
from hptransfer.models.questions import Question, QuestionError, findings_of
from hptransfer.models.role_inference import RoleInference
from hptransfer.parameterization.roles import Parameter


def decide_all(inference: RoleInference, models: Comparison) -> tuple[Parameter, ...]:
    """Every parameter of a model, in `named_parameters()` order.

    Args:
        inference: decides one parameter at a time.
        models: the models that were compared.

    Raises:
        UsageError: answers that do not fit, all of them; or one question for all layers that repeat, for every kind of
            parameter whose role nothing decides.
    """
    parameters: list[Parameter] = []
    questions: list[Question] = []
    answers: dict[str | None, Finding] = {}
    for name in inference.weights:
        try:
            parameters.append(inference.decide(name))
        except QuestionError as error:
            questions.append(error.question)
        except UsageError as error:
            answers.setdefault(error.findings[0].hint, error.findings[0])
    if answers:
        raise UsageError.of(answers.values())
    if not questions:
        return tuple(parameters)

    def elsewhere() -> list[tuple[Mapping[str, str], Iterable[str]]]:
        """The questions of the models that other sizes are read from, and of this one."""
        depths = [inference.weights, *(models.weights_of(view) for view in (models.base, models.deep))]
        return [(_asked(RoleInference.of(weights, inference.known, frozenset(), {})), weights) for weights in depths]

    raise UsageError.of(findings_of(questions, elsewhere, models.repetition))


def _asked(inference: RoleInference) -> dict[str, str]:
    """Name -> role to suggest, of what nothing decides in a model."""
    found = {}
    for name in inference.weights:
        try:
            inference.decide(name)
        except QuestionError as error:
            found[name] = error.question.role
        except UsageError:  # an answer that does not fit there is said when that size is read
            continue
    return found
