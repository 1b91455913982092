"""From a user's model to a recipe: it is built without memory at many sizes, run once at the base, and planned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptransfer.engine.new_recipe import recipe_name
from hptransfer.errors import UsageError
from hptransfer.recipe.data_skeleton import data_skeleton, own_loss_file
from hptransfer.recipe.model_draft import Line, ModelDraft, written
from hptransfer.recipe.sections import Setting
from hptransfer.registry import look_in

if TYPE_CHECKING:  # torch is imported only where a model is looked at
    from hptransfer.models.configuration import Configured
    from hptransfer.models.first_run import FirstRun
    from hptransfer.models.size_arguments import SizeArguments
    from hptransfer.models.survey import Survey

#: bytes of text
_BYTES = 256
_VOCABULARY = r"(n_?|num_?)?vocab(ulary)?(_?size)?"
#: groups of parameters that the recipe's comments show
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is to be written.

    Attributes:
        text: text of the recipe.
        files: name of a file beside the recipe -> its text.
        remarks: sentences for whoever asked.
    """

    text: str
    files: dict[str, str]
    remarks: tuple[str, ...]


def parsed_target(text: str | None) -> tuple[int, int] | None:
    """Width and depth of `--target 4096x32`; None where it is not said.

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,7})x(\d{1,5})", text.strip())
    if found is None or not all(map(int, found.groups())):
        raise UsageError("`--target` must be a width and a depth", received=text, hint="for example `--target 4096x32`")
    return int(found[1]), int(found[2])


def proposed_recipe(
    model: str | None,
    configuration: str | None,
    path: Path,
    target: str | None = None,
    ask: Callable[[str, Sequence[str]], str] | None = None,
) -> Proposal:
    """A recipe for a function that builds a model, or for a configuration of transformers.

    Args:
        model: `module:function`; None where the other is given.
        configuration: a `model_type`, a `config.json`, or a folder that has one.
        path: where the recipe will lie, which names it.
        target: width and depth of the run that matters, as "4096x32"; None takes the model's own.
        ask: chooses among arguments where several could be meant; None takes the likeliest and writes down the others.

    Raises:
        UsageError: it cannot be read or built, or its width and depth are not known.
        MachineError: transformers is not installed.
    """
    asked, name, folder = parsed_target(target), recipe_name(path), path.absolute().parent
    if configuration is not None:
        return proposed_from_configuration(configuration, name, folder, asked)
    return proposed_from_model(str(model), name, folder, asked, ask)


def proposed_from_model(
    reference: str,
    name: str,
    folder: Path,
    target: tuple[int, int] | None = None,
    ask: Callable[[str, Sequence[str]], str] | None = None,
) -> Proposal:
    """A recipe for a function that builds a model.

    Args:
        reference: of the function, `module:function`.
        name: of the recipe, which its run folder has too.
        folder: where the recipe will lie.
        target: width and depth of the run that matters; None takes the function's defaults.
        ask: chooses among arguments where several could be meant; None takes the likeliest and writes down the others.

    Raises:
        UsageError: it cannot be imported or built, or has no argument that is a width or a depth.
    """
    from hptransfer.models.size_arguments import size_arguments
    from hptransfer.models.survey import survey

    look_in(folder)
    found = size_arguments(reference, ask)
    section = _with_bytes(found)
    seen = survey(section, (found.width, found.depth), target, has_depth=found.has_depth)
    lines = [Line(f"factory: {reference}"), *_factory_lines(found, seen)]
    command = f"hptransfer init --model {reference}"
    asked = target is not None
    source = _target_source(seen, (found.width, found.depth), asked, "the function's defaults")
    return _proposal(seen, name, command, [Line("kind: factory"), *lines], source)


def proposed_from_configuration(
    named_as: str, name: str, folder: Path, target: tuple[int, int] | None = None
) -> Proposal:
    """A recipe for a configuration of transformers.

    Args:
        named_as: a `model_type`, a `config.json`, or a folder that has one.
        name: of the recipe, which its run folder has too.
        folder: where the recipe will lie.
        target: width and depth of the run that matters; None takes the configuration's own.

    Raises:
        UsageError: there is no such configuration, or its keys of width and depth are not known.
        MachineError: transformers is not installed.
    """
    from hptransfer.models.configuration import configured
    from hptransfer.models.survey import survey

    look_in(folder)
    found = configured(named_as)
    seen = survey(found.section, (found.width, found.depth), target, heads=found.heads)
    lines = [Line("kind: huggingface"), *_configuration_lines(found, seen)]
    source = _target_source(seen, (found.width, found.depth), target is not None, "the configuration's own")
    return _proposal(seen, name, f"hptransfer init --huggingface {named_as}", lines, source)


def _with_bytes(found: SizeArguments) -> Any:
    """The section with a vocabulary of bytes where the function has an argument for it that is larger."""
    vocabulary = next((name for name in found.limits if re.fullmatch(_VOCABULARY, name.lower())), None)
    if vocabulary is None or not isinstance(own := found.limits[vocabulary], int) or own <= _BYTES:
        return found.section
    return found.section.model_copy(update={"arguments": {**found.section.arguments, vocabulary: _BYTES}})


def _factory_lines(found: SizeArguments, seen: Survey) -> Iterator[Line]:
    section: Any = seen.section
    by_default = (found.width, found.depth)
    for size, argument, own, others in zip(
        ("width", "depth"),
        (section.width_argument, section.depth_argument),
        by_default,
        (found.other_widths, found.other_depths),
        strict=True,
    ):
        said = "it takes none: all sizes have one depth" if argument is None else ""
        yield Line(
            f"{size}_argument: {'null' if argument is None else argument}",
            said if own is None else f"{own} by default",
        )
        for other in others:
            yield Line(f"{size}_argument: {other}", "it changes that too", open=True)
    if section.arguments:
        why = [f"guess: {name} ({what})" if what else f"guess: {name}" for name, what in found.guessed.items()]
        why += [f"{name}: bytes; {found.limits[name]} by default" for name in section.arguments if name in found.limits]
        yield Line(f"arguments: {written(section.arguments)}", "; ".join(why))
    yield from _writer_lines(seen)


def _configuration_lines(found: Configured, seen: Survey) -> Iterator[Line]:
    section: Any = seen.section
    yield Line(f"config: {section.config}")
    yield Line("settings:", "of one size; what follows the width keeps its proportion to it")
    for key, value in section.settings.items():
        why = f"{found.changed[key]} in the configuration; bytes have 256" if key in found.changed else ""
        if key == "tie_word_embeddings" and value != found.section.settings.get(key):
            why = "tied in the configuration, which this plan would refuse"
        yield Line(f"  {key}: {written(value)}", why)
    yield Line(f"follow_width: {written(section.follow_width)}", "the width first")
    yield Line(f"depth_key: {section.depth_key}")
    yield Line(f"task: {section.task}")
    yield from _writer_lines(seen)


def _writer_lines(seen: Survey) -> Iterator[Line]:
    """What writes the residual stream: found, or what it could be."""
    if seen.writers:
        yield Line("the running model adds to its residual stream what these give, and plans find it so:", open=True)
        yield from (Line(f"  {name}", open=True) for name in seen.writers)
    else:
        likely = [group.pattern for group in seen.groups if group.role == "hidden weight" and r"\d+" in group.pattern]
        if likely:
            why = "choose those whose output is added to a residual stream; rules for depth need them"
            yield Line(f"residual_writers: {written(likely)}", why, open=True)
    yield from _open_lines(seen)


def _open_lines(seen: Survey) -> Iterator[Line]:
    """What the plan asks, and lines of which one is to be chosen: each answers all that is asked."""
    from hptransfer.models.questions import choices

    for question in seen.undecided:
        yield Line(f"open: {question.received}", "", open=True)
    offered = [choices(question) for question in seen.undecided]
    likeliest = {pattern: role for each in offered if each for pattern, role in each[0].roles.items()}
    if likeliest:
        yield Line("choose one of the lines with `roles`: each answers all that is asked", open=True)
        why = offered[0][0].why if len(offered) == 1 else "the likeliest of each"
        yield Line(f"roles: {_mapping(likeliest)}", why, open=True)
    for each in offered:
        for choice in each[1:]:
            yield Line(f"roles: {_mapping(likeliest | dict(choice.roles))}", choice.why, open=True)
    for question, each in zip(seen.undecided, offered, strict=True):
        if not each and question.hint:
            yield Line(question.hint, "", open=True)


def _mapping(roles: Mapping[str, str]) -> str:
    """Patterns and roles as flow YAML, all in single quotes."""
    quoted = (f"'{pattern}': '{role}'" for pattern, role in roles.items())
    return f"{{{', '.join(quoted)}}}"


def _proposal(seen: Survey, name: str, command: str, model: list[Line], source: str) -> Proposal:
    module = re.sub(r"\W", "_", name)
    module = module if module[0].isalpha() else f"r_{module}"
    data, training, files, more = _data(seen.run, f"{module}_data", f"{module}_loss")
    if not isinstance(seen.run, str) and seen.run.context is not None:
        model.insert(2, Line(f"context: {seen.run.context}", "tokens per example"))
    remarks = (*seen.remarks, *more, *_questions(seen))
    draft = ModelDraft(
        name=name,
        command=command,
        remarks=remarks,
        model=model,
        data=data,
        training=training,
        parameterization=_parameterization(seen),
        base=seen.base,
        widths=seen.widths,
        depths=seen.depths,
        target=(*seen.target, source),
        roles=tuple(_role_lines(seen)),
        notes=seen.notes,
    )
    return Proposal(draft.text(), files, remarks)


def _questions(seen: Survey) -> Iterator[str]:
    if seen.undecided:
        yield (
            f"the plan asks {len(seen.undecided)} question(s) that only you can answer: {seen.undecided[0].rule}; "
            f"received: {seen.undecided[0].received}. Answers to choose from are commented out under `model`"
        )


def _parameterization(seen: Survey) -> tuple[str, str]:
    if seen.parameterization != "mup":
        later = "; a role is open: choose one under `model`" if seen.undecided else ""
        return seen.parameterization, f"or mup, without rules for depth{later}"
    if seen.target[1] == 1:
        return "mup", "it has no rules for depth, and the target has one layer"
    if seen.writers:
        return "mup", "rules for depth were refused for this model: its depth stays as it is"
    return "mup", "it has no rules for depth: base and target have one depth; completep needs `residual_writers`"


def _target_source(seen: Survey, own: tuple[int | None, int | None], asked: bool, whose: str) -> str:
    source = "as asked for" if asked else whose if seen.target == own else "guess: the run that you care about"
    return f"{source}; the ladder was shortened to end below it" if seen.shortened else source


def _role_lines(seen: Survey) -> Iterator[str]:
    for group in seen.groups[:_SHOWN]:
        drawn = "" if group.init_std is None else f", std {group.init_std:.4g} at the target"
        yield f"{group.pattern}: {group.role} ({group.reason}); starts {group.init}{drawn}"
    if len(seen.groups) > _SHOWN:
        yield f"and {len(seen.groups) - _SHOWN} more"


_Data = tuple[list[Line], list[Line], dict[str, str], list[str]]


def _data(run: FirstRun | str, data: str, loss: str) -> _Data:
    """Lines of `data` and of `training`, files beside the recipe, and what must be said."""
    if isinstance(run, str):
        said = f"no input was found that the model takes, so data and loss are a guess: {run}"
        choices = [
            Line("kind: stdlib-text", "guess"),
            Line("kind: python", "functions of your own (docs/data.md)", open=True),
            Line("source: my_data:training_batch", open=True),
            Line("evaluation: my_data:evaluation_batch", open=True),
        ]
        return choices, [Line("loss: next-token", "guess: or cross-entropy, mse, your own")], {}, [said]
    if run.takes_tokens and run.output is not None and _knows_bytes(run):
        return _of_tokens(run, loss)
    return _of_numbers(run, data)


def _knows_bytes(run: FirstRun) -> bool:
    """Whether it maps tokens to logits over at least as many as there are bytes."""
    return run.output is not None and run.output[-1] >= _BYTES and len(run.output) in (1, 2)


def _of_tokens(run: FirstRun, loss: str) -> _Data:
    shape, length = run.output or (), run.inputs[0].shape[0]
    data = [
        Line("kind: stdlib-text", "bytes of Python's standard library, on every machine"),
        Line("kind: tokens", "files of tokens of your own: train, validation, vocabulary (docs/data.md)", open=True),
    ]
    chosen = [] if run.chosen is None else [Line(f"loss_arguments: {written({'output': run.chosen})}")]
    if len(shape) == 2 and shape[0] == length:
        if run.causal is False:
            arguments: dict[str, Setting] = {"mask_token": 0} | ({} if run.chosen is None else {"output": run.chosen})
            lines = [
                Line("loss: masked-token", "a prediction of it depends on later tokens"),
                Line(f"loss_arguments: {written(arguments)}", "guess: the id that replaces what is to be found"),
            ]
            return data, lines, {}, []
        why = "after every position" + ("" if run.chosen is None else "; of several outputs that with logits")
        return data, [Line("loss: next-token", why), *chosen], {}, []
    if run.own_loss is not None and run.own_loss_place is not None:
        why = f"the model's own, which `forward` returns where it is given `{run.own_loss}`"
        text = own_loss_file(run.own_loss, run.own_loss_place)
        return data, [Line(f"loss: '{loss}:own_loss'", why)], {f"{loss}.py": text}, []
    if len(shape) == 1:
        return data, [Line("loss: next-token", "after the window"), *chosen], {}, []
    said = f"what the model returns, {shape} for {length} tokens, fits no built-in loss: the loss is a guess"
    return data, [Line("loss: next-token", "guess")], {}, [said]


def _of_numbers(run: FirstRun, data: str) -> _Data:
    shape = run.output or (1,)
    classes = len(shape) == 1 and shape[0] > 1
    text = data_skeleton(run.inputs, shape[:-1] if classes else shape, shape[-1] if classes else None)
    lines = [
        Line("kind: python", f"made-up examples in {data}.py: replace them by yours"),
        Line(f"source: {data}:training_batch"),
        Line(f"evaluation: {data}:evaluation_batch"),
        Line("evaluation_examples: 1024"),
    ]
    arguments = [] if run.chosen is None else [Line(f"loss_arguments: {written({'output': run.chosen})}")]
    if classes:
        losses = [
            Line("loss: cross-entropy", f"guess: {shape[0]} classes"),
            Line("loss: mse", "if they are numbers", open=True),
        ]
    else:
        losses = [Line("loss: mse", "guess")]
    said = [f"the data are MADE UP: {data}.py has random examples in the shapes that the model takes; replace them"]
    if run.output is None:
        said.append("no prediction was found in what the model returns: the target's shape is a guess")
    return lines, [*losses, *arguments], {f"{data}.py": text}, said
