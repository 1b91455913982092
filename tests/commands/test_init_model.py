"""`init --model` and `init --huggingface`: what is found of a model becomes a recipe that is valid and runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hptransfer.commands.init import init_command
from hptransfer.engine.model_proposal import parsed_target
from hptransfer.engine.open_session import open_session
from hptransfer.errors import UsageError
from hptransfer.linting.validate import validate
from hptransfer.models.size_arguments import size_arguments
from hptransfer.recipe.load import load_recipe
from hptransfer.recipe.model_sections import FactoryModel, HuggingFaceModel
from hptransfer.recipe.schema import Recipe
from hptransfer.tuning.tune import tune
from tests.support import found_models
from tests.support.validated import TRUSTED

MODELS = "tests.support.found_models"


def recipe_of(path: Path) -> Recipe:
    """The recipe in a file, which has no error and no warning with its code trusted."""
    found = validate(str(path), TRUSTED)
    assert (found.errors, found.warnings) == ((), ())
    return load_recipe(path).recipe


def shortened(path: Path) -> Path:
    """The same recipe, so short that a test can train it."""
    text = path.read_text()
    for old, new in (("steps: 300", "steps: 2"), ("batch_size: 32", "batch_size: 4"), ("trials: 16", "trials: 2")):
        assert old in text
        text = text.replace(old, new)
    text = text.replace("evaluation_examples: 1024", "evaluation_examples: 8")
    path.write_text(
        text.replace("\ncheck:", "  confirm_seeds: 1\n\ncheck:").replace(
            "training:\n", "training:\n  evaluation_batches: 1\n"
        )
    )
    return path


def require_it_tunes(path: Path, runs: Path, module: str) -> None:
    """Assert that two tiny trials of a written recipe end; its module is forgotten for the next test."""
    with open_session(shortened(path), runs, 1) as session:
        assert tune(session).trials.finished == 2
    sys.modules.pop(module, None)


def test_a_nanogpt(tmp_path: Path) -> None:
    """Sizes by name, writers by running it, its own loss: it returns logits of the last position only. It runs."""
    path = tmp_path / "mine.yaml"
    assert init_command(path, model=f"{MODELS}:nanogpt") == 0
    recipe = recipe_of(path)

    assert isinstance(recipe.model, FactoryModel)
    assert (recipe.model.width_argument, recipe.model.depth_argument) == ("n_embd", "n_layer")
    assert recipe.model.arguments == {"vocab_size": 256}
    assert recipe.model.context == 64
    assert recipe.model.residual_writers == ()  # plans find them, whatever the code becomes
    for name in ("attn", "mlp"):
        assert f"#   transformer.h.*.{name}.c_proj.weight\n" in path.read_text()
    assert recipe.parameterization.name == "completep"
    assert (recipe.sizes.base.width, recipe.sizes.base.depth) == (64, 2)
    assert recipe.sizes.widths == (64, 128, 256, 512)
    assert (recipe.sizes.target.width, recipe.sizes.target.depth) == (768, 12)
    assert recipe.training.loss == "mine_loss:own_loss"
    require_it_tunes(path, tmp_path / "runs", "mine_loss")


def test_a_resnet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Classes of images: made-up data that say so, the cross-entropy, the writers of its blocks; it runs."""
    path = tmp_path / "images.yaml"
    assert init_command(path, model=f"{MODELS}:ResNet") == 0
    said = capsys.readouterr()
    recipe = recipe_of(path)

    assert "the data are MADE UP" in said.err
    assert said.out.splitlines() == [str(tmp_path / "images_data.py"), str(path)]
    assert (tmp_path / "images_data.py").read_text().startswith('"""MADE-UP DATA')
    assert isinstance(recipe.model, FactoryModel)
    assert (recipe.model.width_argument, recipe.model.depth_argument) == ("channels", "blocks")
    assert "#   blocks.*.conv2.weight\n" in path.read_text()
    assert (recipe.training.loss, recipe.data.kind) == ("cross-entropy", "python")
    require_it_tunes(path, tmp_path / "runs", "images_data")


def test_a_table(tmp_path: Path) -> None:
    """One number of a row: mean squared errors; without a stream there is no rule for depth, so the depth stays."""
    path = tmp_path / "rows.yaml"
    init_command(path, model=f"{MODELS}:Table")
    recipe = recipe_of(path)

    assert (recipe.training.loss, recipe.parameterization.name) == ("mse", "mup")
    assert recipe.sizes.depths == ()
    assert (recipe.sizes.base.depth, recipe.sizes.target.depth, recipe.sizes.target.width) == (3, 3, 1024)
    sys.modules.pop("rows_data", None)


@pytest.mark.parametrize(
    "family", ["llama", *(pytest.param(each, marks=pytest.mark.slow) for each in ("gpt2", "qwen2"))]
)
def test_a_configuration(tmp_path: Path, family: str) -> None:
    """Two heads at the base, the configuration's own size as the target, a vocabulary of bytes."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    path = tmp_path / f"{family}.yaml"
    init_command(path, huggingface=family)
    recipe = recipe_of(path)

    assert isinstance(recipe.model, HuggingFaceModel)
    assert recipe.model.settings["vocab_size"] == 256
    expected = {"gpt2": (64, 768, 12)}.get(family, (256, 4096, 32))
    assert (recipe.sizes.base.width, recipe.sizes.target.width, recipe.sizes.target.depth) == expected
    assert recipe.sizes.widths[-1] == 8 * recipe.sizes.base.width
    assert recipe.training.loss == "next-token"


@pytest.mark.parametrize(
    ("family", "key", "stated", "expected"),
    [
        ("llama", "max_position_embeddings", 32, 32),
        ("llama", "max_position_embeddings", 48, 48),
        ("llama", "max_position_embeddings", 2048, 64),
        ("gpt2", "n_positions", 24, 24),
    ],
)
def test_no_more_tokens_than_the_configuration_has_positions(
    family: str, key: str, stated: int, expected: int, tmp_path: Path
) -> None:
    """Rotary positions take any number, so that a run alone says nothing."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    values = {"model_type": family, key: stated}
    (tmp_path / "config.json").write_text(json.dumps(values))
    path = tmp_path / "r.yaml"
    init_command(path, huggingface=str(tmp_path))

    model = recipe_of(path).model
    assert isinstance(model, HuggingFaceModel)
    assert model.context == expected


def test_a_local_configuration(tmp_path: Path) -> None:
    """A folder with a `config.json` of a family without defaults here: keys by their names; a target is asked for."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    values = {"model_type": "phi3", "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
    values |= {"num_key_value_heads": 16, "num_hidden_layers": 6, "vocab_size": 32064, "pad_token_id": 32000}
    (tmp_path / "config.json").write_text(json.dumps(values))
    path = tmp_path / "r.yaml"
    init_command(path, huggingface=str(tmp_path), target="2048x8")
    recipe = recipe_of(path)

    assert isinstance(recipe.model, HuggingFaceModel)
    following = {"intermediate_size", "num_attention_heads", "num_key_value_heads"}
    assert (recipe.model.follow_width[0], set(recipe.model.follow_width[1:])) == ("hidden_size", following)
    assert (recipe.model.depth_key, recipe.model.task) == ("num_hidden_layers", "causal-lm")
    assert (recipe.sizes.target.width, recipe.sizes.target.depth) == (2048, 8)


@pytest.mark.parametrize(("target", "base", "one"), [("1024x8", 64, True), ("2048x8", 128, False)])
def test_a_base_of_one_head_is_said(tmp_path: Path, target: str, base: int, one: bool) -> None:
    """16 heads of 1024: below that width only a base with one head has four widths."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    values = {"model_type": "llama", "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16}
    values |= {"num_key_value_heads": 16, "num_hidden_layers": 8, "vocab_size": 256}
    (tmp_path / "config.json").write_text(json.dumps(values))
    path = tmp_path / "r.yaml"
    init_command(path, huggingface=str(tmp_path), target=target)

    assert recipe_of(path).sizes.base.width == base
    assert (f"the base of width {base} has one attention head" in " ".join(path.read_text().split())) == one


@pytest.mark.parametrize(
    ("target", "widths"), [("1024x2", (64, 128, 256, 512)), ("512x2", (64, 128, 256)), ("192x4", (64, 128))]
)
def test_the_ladder_ends_below_the_target(tmp_path: Path, target: str, widths: tuple[int, ...]) -> None:
    """The target that is asked for stays; what was done about the ladder stands behind it."""
    path = tmp_path / "small.yaml"
    init_command(path, model=f"{MODELS}:ResNet", target=target)
    sizes = load_recipe(path).recipe.sizes

    assert f"{sizes.target.width}x{sizes.target.depth}" == target
    assert sizes.widths == widths
    assert ("# as asked for; the ladder was shortened to end below it" in path.read_text()) == (len(widths) < 4)
    sys.modules.pop("small_data", None)


def test_a_target_of_one_layer(tmp_path: Path) -> None:
    """Nothing was refused: there is no depth to carry on."""
    path = tmp_path / "one.yaml"
    init_command(path, model=f"{MODELS}:ResNet", target="1024x1")

    assert "name: mup  # it has no rules for depth, and the target has one layer" in path.read_text()
    sys.modules.pop("one_data", None)


def test_a_target_without_room_for_a_ladder(tmp_path: Path) -> None:
    """It is refused with the smallest ladder and the smallest target, which works."""
    with pytest.raises(UsageError, match="two widths that can be built") as caught:
        init_command(tmp_path / "r.yaml", model=f"{MODELS}:ResNet", target="128x2")
    (found,) = caught.value.findings

    assert "the smallest ladder is 64, 128" in str(found.received)
    assert "`--target 256x2`" in str(found.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_built(tmp_path: Path) -> None:
    """Its width must be one of the model's: 12 heads do not divide 1000."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    with pytest.raises(UsageError, match="must be a whole number at every width"):
        init_command(tmp_path / "r.yaml", huggingface="gpt2", target="1000x12")


@pytest.mark.slow
def test_widths_that_the_proportions_allow(tmp_path: Path) -> None:
    """Gemma 2's heads are 8 of 2304, its key and value heads 4: multiples of 576, below the configuration's own."""
    pytest.importorskip("transformers", reason="needs the extra `hf`")
    path = tmp_path / "gemma.yaml"
    init_command(path, huggingface="gemma2")
    recipe = load_recipe(path).recipe

    assert validate(str(path), TRUSTED).errors == ()
    assert recipe.sizes.widths == (576, 1152)
    assert (recipe.sizes.target.width, recipe.sizes.target.depth) == (2304, 26)


@pytest.mark.parametrize(("model", "lines"), [("Placed", 2), ("placed_twice", 3)])
def test_answers_to_choose_from(tmp_path: Path, model: str, lines: int) -> None:
    """A role that is open takes no rule from depth; every line that answers it is valid once it is uncommented."""
    path = tmp_path / "open.yaml"
    init_command(path, model=f"{MODELS}:{model}")
    text = path.read_text()
    offered = [line for line in text.splitlines() if line.startswith("  # roles: {")]
    recipe = load_recipe(path).recipe

    assert (recipe.parameterization.name, recipe.sizes.depths) == ("completep", (2, 4, 8))
    assert "a role is open" in text
    assert len(offered) == lines
    assert "every parameter's role must follow" in validate(str(path), TRUSTED).errors[0].rule
    for line in offered:
        path.write_text(text.replace(line, line.replace("# ", "", 1)))
        assert validate(str(path), TRUSTED).errors == ()


def test_what_is_open_is_asked_or_written_down() -> None:
    """Where no name says which argument is the width, both are found; whoever can be asked chooses."""
    alone = size_arguments(f"{MODELS}:two_widths")
    asked: list[tuple[str, list[str]]] = []

    def ask(question: str, choices: object) -> str:
        assert isinstance(choices, list)
        asked.append((question, choices))
        return str(choices[-1])

    chosen = size_arguments(f"{MODELS}:two_widths", ask)

    assert (alone.section.width_argument, alone.other_widths) == ("stuff", ("lots",))
    assert alone.section.depth_argument == "more"
    assert chosen.section.width_argument == "lots"
    assert asked[0][1] == ["stuff", "lots"]


def test_a_model_without_depth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two tables: its depth argument changes nothing, which is said; rows of both are drawn, the target is a number."""
    path = tmp_path / "pairs.yaml"
    init_command(path, model=f"{MODELS}:towers")
    recipe = load_recipe(path).recipe

    assert "the depth changes nothing" in capsys.readouterr().err
    assert (recipe.sizes.base.depth, recipe.sizes.target.depth, recipe.parameterization.name) == (1, 1, "mup")
    assert "(None, (), 100), (None, (), 100)" in (tmp_path / "pairs_data.py").read_text()
    assert recipe.training.loss == "mse"


@pytest.mark.parametrize("model", ["one_layer", "one_depth"])
def test_a_depth_that_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str) -> None:
    """Whether or not it has an argument for it, base and target have one depth, and the recipe is valid."""
    path = tmp_path / "flat.yaml"
    init_command(path, model=f"{MODELS}:{model}")
    recipe = recipe_of(path)

    assert "the depth changes nothing" in capsys.readouterr().err
    assert isinstance(recipe.model, FactoryModel)
    assert recipe.model.depth_argument == {"one_layer": None, "one_depth": "depth"}[model]
    assert (recipe.sizes.base.depth, recipe.sizes.target.depth, recipe.sizes.depths) == (1, 1, ())
    assert recipe.parameterization.name == "mup"
    require_it_tunes(path, tmp_path / "runs", "flat_data")


def test_sizes_without_a_depth_argument_have_one_depth(tmp_path: Path) -> None:
    """Depths that the function could not follow are refused."""
    path = tmp_path / "flat.yaml"
    init_command(path, model=f"{MODELS}:one_layer")
    text = path.read_text().replace(
        "target: {width: 1024, depth: 1}", "depths: [1, 2]\n  target: {width: 1024, depth: 4}"
    )
    path.write_text(text)
    found = [each for each in validate(str(path)).errors if each.code == "recipe/fixed-depth"]

    assert [str(each.received) for each in found] == ["a ladder of depths", "4, the base has 1"]
    sys.modules.pop("flat_data", None)


@pytest.mark.parametrize(
    ("model", "call"),
    [
        ("Gpt", "Gpt(Config(n_embd=width, n_layer=depth, n_head=max(1, width // 64)))"),
        ("Unannotated", "Unannotated(Config(n_embd=width, n_layer=depth, n_head=max(1, width // 64)))"),
        ("second_of_two", "second_of_two(cfg=Config(n_embd=width, n_layer=depth, n_head=max(1, width // 64)))"),
    ],
)
def test_a_function_of_a_configuration_object(tmp_path: Path, model: str, call: str) -> None:
    """It has no width: the function to write around it is the hint, with the fields of its configuration; it runs."""
    with pytest.raises(UsageError, match="an argument that changes the widths") as caught:
        init_command(tmp_path / "r.yaml", model=f"{MODELS}:{model}")
    hint = str(caught.value.findings[0].hint)
    code = hint.split("`")[1]
    names = dict(vars(found_models))
    exec(code, names)  # noqa: S102  # the hint's own code, as a user pastes it

    assert code == f"def build(width, depth): return {call}"
    assert names["build"](64, 3).lm_head.weight.shape == (50304, 64)
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_object_that_is_not_enough(tmp_path: Path) -> None:
    """What the function needs besides is not known: the class and its fields are named."""
    with pytest.raises(UsageError, match="an argument that changes the widths") as caught:
        init_command(tmp_path / "r.yaml", model=f"{MODELS}:second")

    hint = str(caught.value.findings[0].hint)
    assert "gives second a `Config`; its fields are block_size, vocab_size, n_layer, n_head, n_embd" in hint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": f"{MODELS}:nanogpt", "huggingface": "llama"}, "exclude each other"),
        ({"model": "no_such_module:f"}, "must be importable"),
        ({"model": f"{MODELS}:Table", "target": "big"}, "`--target` must be a width and a depth"),
        ({"huggingface": "lama"}, "must name a model_type"),
    ],
)
def test_refusals(tmp_path: Path, options: dict[str, str], said: str) -> None:
    """Nothing is written."""
    if "huggingface" in options:
        pytest.importorskip("transformers", reason="needs the extra `hf`")
    with pytest.raises(UsageError, match=said):
        init_command(tmp_path / "r.yaml", **options)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_files_beside_the_recipe_are_not_overwritten(tmp_path: Path) -> None:
    """Data that a user filled in stay, unless --force says otherwise."""
    (tmp_path / "rows_data.py").write_text("mine")
    with pytest.raises(UsageError, match="`init` does not overwrite"):
        init_command(tmp_path / "rows.yaml", model=f"{MODELS}:Table")

    assert (tmp_path / "rows_data.py").read_text() == "mine"
    assert not (tmp_path / "rows.yaml").exists()


def test_targets() -> None:
    """Width and depth."""
    assert parsed_target("4096x32") == (4096, 32)
    assert parsed_target(None) is None
