"""What `static` does not decide of a recipe, a clause each, with the level that would decide it."""

from __future__ import annotations

from collections.abc import Iterator

from hptransfer.data._files import files_matching
from hptransfer.data.text import TextFiles
from hptransfer.data.tokens import TokenFiles
from hptransfer.errors import UsageError
from hptransfer.linting.rules.budget import wanted
from hptransfer.linting.rules.files import LOOKED_AT
from hptransfer.models.config_keys import config_keys, config_names
from hptransfer.recipe.load import LoadedRecipe
from hptransfer.recipe.model_sections import FactoryModel, HuggingFaceModel
from hptransfer.recipe.own_code import step_code


def left_open(loaded: LoadedRecipe) -> Iterator[tuple[str, str]]:
    """What neither text, tables nor the first bytes of files say; nothing is imported for it.

    Args:
        loaded: a recipe without static errors.

    Yields:
        A clause that names what would decide it, and the first level that does.
    """
    recipe, model = loaded.recipe, loaded.recipe.model
    if isinstance(model, HuggingFaceModel):
        yield from _of_configuration(model)
        yield (
            f"whether every parameter of huggingface {model.config} has a rule, at every size (level shapes)",
            "shapes",
        )
    elif isinstance(model, FactoryModel):
        yield (
            f"whether {model.factory} can be built and each of its parameters has a rule (level shapes, `--trust`)",
            "shapes",
        )
    if isinstance(model, HuggingFaceModel | FactoryModel) and (model.residual_writers or model.queries or model.roles):
        yield "whether each pattern of `model` matches a parameter (level shapes)", "shapes"
    if recipe.trainer.name != "torch":
        yield f"whether the trainer `{recipe.trainer.name}` can train it (every command that trains)", "full"
    own = {key: name for key, name in step_code(recipe).items() if key[0] in ("training", "data")}
    if own:
        names = ", ".join(f"`{'.'.join(map(str, key))}` {name}" for key, name in own.items())
        # another program's first step is that of its run: only `full` makes one
        level = "shapes" if recipe.trainer.name == "torch" and model.kind != "external" else "full"
        yield f"whether code of the recipe's own does what it must: {names} (level {level}, `--trust`)", level
    yield from _of_data(loaded)
    if recipe.budget.flops is not None:
        yield "whether `budget.flops` is enough (level shapes)", "shapes"
    if recipe.budget.trials is not None and wanted(loaded) is None:
        yield (
            "whether `budget.trials` is enough for a ladder whose durations follow its parameters (`hptransfer cost`)",
            "full",
        )
    if recipe.budget.time is not None:
        yield "whether `budget.time` is enough: that depends on the machine (`hptransfer cost --time-steps`)", "full"


def _of_configuration(model: HuggingFaceModel) -> Iterator[tuple[str, str]]:
    if config_names() is None:
        yield f"whether {model.config} and its settings are known: transformers is not installed (extra `hf`)", "shapes"
    elif config_keys(model.config) is None:
        yield (
            f"whether {model.config} has the keys of `model.settings`: its class does not say them in plain form",
            "shapes",
        )


def _of_data(loaded: LoadedRecipe) -> Iterator[tuple[str, str]]:
    data = loaded.recipe.data
    looked_at = f"its first {LOOKED_AT // 2**20} MiB"
    if isinstance(data, TextFiles) and _longer(loaded, data.files):
        yield f"whether each file of `data` is text beyond {looked_at} (every command that trains)", "full"
    elif isinstance(data, TokenFiles) and _longer(loaded, (*data.train, *(data.validation or ()))):
        yield f"whether every token beyond {looked_at} lies in the vocabulary (every command that trains)", "full"


def _longer(loaded: LoadedRecipe, patterns: tuple[str, ...]) -> bool:
    try:
        files = files_matching(patterns, loaded.root, "files")
    except UsageError:
        return False
    return any(path.stat().st_size > LOOKED_AT for path in files.values())
