"""Files that hptransfer exported: nothing is found in them as they are, and what an edit breaks is found and named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hptransfer.artifacts.target import TargetFile
from hptransfer.cli.app import app
from hptransfer.errors import UsageError
from hptransfer.export.base import EXPORTERS
from hptransfer.handover.nanogpt_mup import branch_named
from hptransfer.linting.foreign.megatron import EXPORTED
from hptransfer.linting.foreign_files import FileLint, lint_file
from hptransfer.linting.planned import Planned, planned_of, read_planned
from hptransfer.recipe.model_sections import FactoryModel
from hptransfer.sizes import Size
from tests.support.exported import BASE, llama_target, write_export
from tests.support.switched import DEEPER, GPT2, WIDER, switched_target, without_rows


def nanogpt_target(parameterization: str = "mup", size: Size = WIDER) -> TargetFile:
    """A nanoGPT's target, under the rules that a branch of nanoGPT-mup has."""
    branch = branch_named(parameterization)
    section = FactoryModel.model_validate(
        {
            "kind": "factory",
            "factory": "tests.support.nanogpt:nanogpt",
            "preset": "nanogpt",
            "context": 32,
            "arguments": {"head_dim": 16, "smaller_writers": branch.name == "master"},
        }
    )
    return switched_target(parameterization, size=size, options=branch.options, model=section)


PLANS: dict[str, Callable[[], TargetFile]] = {
    "mup": lambda: llama_target("mup"),
    "completep": llama_target,
    "completep, cosine": lambda: switched_target("completep", size=DEEPER),
    "muon": lambda: llama_target("mup", optimizer="muon"),
    "sgd": lambda: llama_target("mup", optimizer="sgd"),
    "at the base": lambda: llama_target("mup", size=BASE),
    "switched": switched_target,
    "standard": lambda: switched_target("standard"),
    "gpt2": lambda: switched_target(model=GPT2),
    "nanogpt": nanogpt_target,
    "nanogpt, completep": lambda: nanogpt_target("completep", DEEPER),
    "without rows": without_rows,
}


#: of these each format holds one
FEW = ("completep", "switched", "standard", "nanogpt")


def codes(result: FileLint) -> list[str]:
    """Codes of what was found, errors first, without what is said of every edited export."""
    found = [finding.code for finding in (*result.errors, *result.warnings)]
    return [code for code in found if code not in {"lint/edited-export", "lint/unreadable"}]


def with_comment(path: Path) -> bool:
    """Changes a file so that it trains the same; False where its form has no way to."""
    text = path.read_text("utf-8")
    if path.suffix not in {".py", ".sh", ".yaml", ".json"}:
        return False
    path.write_text(text + ("\n" if path.suffix == ".json" else "\n# ours\n"), "utf-8")
    return True


def exported(folder: Path, name: str, plans: Iterable[str] = PLANS) -> Iterator[tuple[str, Planned, Path]]:
    """Every file of a format for every one of these plans that it can hold."""
    for index, plan in enumerate(plans):
        try:
            written = write_export(folder / str(index), name, PLANS[plan]())
        except UsageError:
            continue
        target = read_planned(folder / str(index) / "target.yaml")
        for path in sorted(each for each in written.rglob("*") if each.is_file() and each.name != "export.json"):
            yield plan, target, path


@pytest.mark.parametrize("name", [each for each in EXPORTERS.built_in if each != "hptransfer"])
@pytest.mark.parametrize("some", [FEW, pytest.param(tuple(PLANS), marks=pytest.mark.slow)], ids=["few", "all"])
def test_nothing_is_found_in_any_export(tmp_path: Path, name: str, some: tuple[str, ...]) -> None:
    """Each built-in format, plan that it holds and file: as written, with an edit that changes nothing, alone."""
    plans = set()
    for plan, target, path in exported(tmp_path, name, some):
        plans.add(plan)
        assert codes(lint_file(path, None, target)) == [], (plan, path.name)
        if with_comment(path):
            for given in (None, target):
                assert codes(lint_file(path, None, given)) == [], (plan, path.name)
            warned = [each.code for each in lint_file(path, None, target).warnings]
            assert warned == ["lint/edited-export"], (plan, path.name)
            alone = path.with_name(f"alone{path.suffix}")
            alone.write_text(path.read_text("utf-8"), "utf-8")
            assert codes(lint_file(alone, None, target)) == [], (plan, path.name)
    assert plans, "no plan of this test can be held"


BASE_RATE = "learning rate 0.00125 for the base, planned 0.01"
LR = '"learning_rate": 0.01'
HIDDEN = "lr=0.003333333333333333, weight_decay=0.30000000000000004"


@pytest.mark.parametrize(
    ("name", "file", "old", "new", "said"),
    [
        (  # 0.01 / 8; the rows lie in hptransfer_hf.py and move with it
            "huggingface", "training_args.json", LR, '"learning_rate": 0.00125',
            "learning rate 0.00125 for the base, planned 0.01",
        ),
        (
            "huggingface", "hptransfer_hf.py", "'learning_rate': 0.0016666666666666666", "'learning_rate': 0.01",
            r"learning rate 0.01 for model\.layers\.\d+\.self_attn\.o_proj\.weight, planned 0.00166667",
        ),
        (
            "olmo-core", "hptransfer_olmo_core.py", HIDDEN, HIDDEN.replace("0.003333333333333333", "0.0004"),
            "learning rate 0.0004 for blocks.*.attention.w_q.weight, ",
        ),
        (
            "torchtitan", "hptransfer_torchtitan.py", '"weight_decay": 0.6000000000000001', '"weight_decay": 0.1',
            "weight decay 0.1 for ^layers",
        ),
        (
            "torch", "groups.json", '"lr": 0.0016666666666666666', '"lr": 0.0002',
            r"learning rate 0.0002 for model\.layers\.\d+\.self_attn\.o_proj\.weight, planned 0.00166667",
        ),
        ("automodel", "automodel.yaml", "  lr: 0.01", "  lr: 0.00125", BASE_RATE),
        ("megatron", "megatron_args.sh", "--lr 0.01", "--lr 0.00125", BASE_RATE),
    ],
)  # fmt: skip
def test_a_value_that_the_plan_decides_is_an_error(
    tmp_path: Path, name: str, file: str, old: str, new: str, said: str
) -> None:
    """CompleteP, three times as wide and twice as deep: hidden rates 0.01 / 3 and 0.01 / 6, decays 0.1 * 3 and * 6."""
    path = write_export(tmp_path, name, llama_target(), {file: (old, new)}) / file
    plan = read_planned(tmp_path / "target.yaml")
    found = lint_file(path, None, plan).errors

    assert {each.code.partition("/")[2] for each in found} == {"group-values"}
    assert str(found[0].received).startswith(said)
    assert codes(lint_file(path)) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("attention_residual_alpha = 0.5", "attention_residual_alpha = 1.0"),
        ("                    'blocks.*.feed_forward.w2.weight',\n", ""),
    ],
    ids=["residual factor", "member of a group"],
)
def test_an_edit_that_no_rule_sees_leads_to_verify(tmp_path: Path, old: str, new: str) -> None:
    """A warning with the whole command; without a plan a note with as much of it as is known."""
    path = write_export(tmp_path, "olmo-core", llama_target(), {"hptransfer_olmo_core.py": (old, new)})
    path /= "hptransfer_olmo_core.py"
    (found,) = lint_file(path, None, read_planned(tmp_path / "target.yaml")).warnings
    command = f"hptransfer verify --export {path}"

    assert (found.code, found.hint) == ("lint/edited-export", f"run `{command} --plan {tmp_path / 'target.yaml'}`")
    assert any(f"`{command}`" in note for note in lint_file(path).notes)


def test_only_exports_are_held_to_the_plan(tmp_path: Path) -> None:
    """Negative control: a file of somebody else may be meant otherwise."""
    (tmp_path / "args.json").write_text(
        '{"per_device_train_batch_size": 8, "learning_rate": 0.00125, "adam_beta2": 0.95}'
    )

    assert codes(lint_file(tmp_path / "args.json", None, planned_of(llama_target()))) == []


# Megatron-LM: the two ways of writing, and what stands behind the array.


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("", "megatron/mup-base-hidden-size"),  # Megatron then takes the model's own, which is what was written
        ("  --mup-base-hidden-size 64\n", "megatron/final-values"),
    ],
)
@pytest.mark.parametrize("planned", [True, False])
def test_final_values_are_never_to_be_made_base_values(tmp_path: Path, new: str, expected: str, planned: bool) -> None:
    """The header says that values are final, width 192: the hint restores the flag and leaves stds and rates alone."""
    edit = {"megatron_args.sh": ("  --mup-base-hidden-size 192\n", new)}
    path = write_export(tmp_path, "megatron", llama_target(), edit) / "megatron_args.sh"
    result = lint_file(path, None, read_planned(tmp_path / "target.yaml") if planned else None)
    findings = [each for each in (*result.errors, *result.warnings) if each.code != "lint/edited-export"]

    assert [each.code for each in findings] == [expected]
    assert findings[0].hint == "restore `--mup-base-hidden-size 192`, the model's own width"


def test_a_script_that_holds_final_values_whole(tmp_path: Path) -> None:
    """The export with the command behind it: rates come from hptransfer_megatron.py, so `--lr` is right."""
    path = write_export(tmp_path, "megatron", llama_target()) / "megatron_args.sh"
    script = tmp_path / "run.sh"
    script.write_text(path.read_text("utf-8") + 'torchrun pretrain_gpt.py "${HPTRANSFER_ARGS[@]}"\n')

    assert codes(lint_file(script, None, read_planned(tmp_path / "target.yaml"))) == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('pretrain_gpt.py "${HPTRANSFER_ARGS[@]}" --lr 0.003 --min-lr 1e-5', ["megatron/overridden-export"] * 2),
        ('pretrain_gpt.py "${HPTRANSFER_ARGS[@]}" --lr=0.003', ["megatron/overridden-export"]),
        ('pretrain_gpt.py --lr 0.003 "${HPTRANSFER_ARGS[@]}" --save out --log-interval 5', []),
        ('ALL=("${HPTRANSFER_ARGS[@]}" --lr 1)\npretrain_gpt.py "${ALL[@]}"', ["megatron/overridden-export"]),
        ('HPTRANSFER_ARGS+=(--lr 5.0)\npretrain_gpt.py "${HPTRANSFER_ARGS[@]}"', ["megatron/overridden-export"]),
        ('pretrain_gpt.py "${OTHER_ARGS[@]}" --lr 0.003', []),
        (  # the array is known here, and has no rate
            'HPTRANSFER_ARGS=(--num-layers 2)\npretrain_gpt.py "${HPTRANSFER_ARGS[@]}" --lr 0.003', [],
        ),
    ],
)  # fmt: skip
def test_flags_behind_the_exported_array(tmp_path: Path, script: str, expected: list[str]) -> None:
    """The last one wins in argparse."""
    (tmp_path / "run.sh").write_text(f"source export/megatron/megatron_args.sh\n{script}\n")

    assert codes(lint_file(tmp_path / "run.sh", "megatron")) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("python pretrain_gpt.py --lr=0.01 --lr 0.001 --decoupled-lr 0.01", ["megatron/repeated-flag"]),
        ("python pretrain_gpt.py --lr=0.01 --lr 1e-2", []),
        ('A=(--lr 0.01)\nif [ "$1" ]; then A+=(--lr 0.1); fi\npython pretrain_gpt.py ${A[@]}', []),
        ("A=(--lr 0.01)\nA=(--lr 0.1)\npython pretrain_gpt.py ${A[@]}", ["megatron/replaced-array"]),
        ("A=(--lr 0.01)\nA=(${A[@]} --seed 1)\npython pretrain_gpt.py ${A[@]}", []),
        ("A=(--lr 0.01)\npython pretrain_gpt.py ${A[@]}\nA=(--lr 0.1)\npython pretrain_gpt.py ${A[@]}", []),
        ("python pretrain_gpt.py --lr $LR --lr 0.1", []),
    ],
)
def test_flags_that_say_two_things(tmp_path: Path, script: str, expected: list[str]) -> None:
    """Given twice, or thrown away; what a branch or another command decides is left alone."""
    (tmp_path / "run.sh").write_text(script + "\n")

    assert codes(lint_file(tmp_path / "run.sh", "megatron")) == expected


def test_every_flag_that_is_exported_is_known(tmp_path: Path) -> None:
    """What may stand in an array that is in another file, against what the exporter writes."""
    for _, _, path in exported(tmp_path, "megatron"):
        if path.suffix == ".sh":
            flags = {line.split()[0] for line in path.read_text("utf-8").splitlines() if line.startswith("  --")}
            assert {flag[2:].replace("-", "_") for flag in flags} <= EXPORTED


# nanoGPT-mup.


def test_the_exporters_own_switch_of_attention_is_right(tmp_path: Path) -> None:
    """`mup_disable_attention_scaling = True` stands in the export: deleting it makes the base another model."""
    file = "hptransfer_config.py"
    path = write_export(tmp_path, "nanogpt-mup", nanogpt_target(), {file: ("dropout = 0.0", "dropout = 0.1")})

    assert codes(lint_file(path / file)) == []
    assert codes(lint_file(path / file, None, read_planned(tmp_path / "target.yaml"))) == []


def test_a_switch_of_rates_in_an_export_is_found(tmp_path: Path) -> None:
    """Negative control of the above."""
    edit = {"hptransfer_config.py": ("mup_disable_hidden_lr_scaling = False", "mup_disable_hidden_lr_scaling = True")}
    path = write_export(tmp_path, "nanogpt-mup", nanogpt_target(), edit)

    assert codes(lint_file(path / "hptransfer_config.py")) == ["nanogpt/mup-disabled"]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python train.py my.py export/hptransfer_config.py --learning_rate=0.001", ["nanogpt/overridden-export"]),
        ("python train.py my.py export/hptransfer_config.py --out_dir=a --eval_interval=5", []),
        ("python train.py my.py --learning_rate=0.001 export/hptransfer_config.py", []),
    ],
)
def test_keys_behind_the_exported_configuration(tmp_path: Path, command: str, expected: list[str]) -> None:
    """Arguments are taken in their order by the configurator; the file's name says whose the script is."""
    (tmp_path / "run.sh").write_text(command + "\n")
    result = lint_file(tmp_path / "run.sh")

    assert (result.framework, codes(result)) == ("nanogpt", expected)


# Names, and what `--plan` takes.


def test_the_formats_name_is_a_frameworks(tmp_path: Path) -> None:
    """`--framework nanogpt-mup` is `nanogpt`, whose rules have the codes that they had."""
    (tmp_path / "a.py").write_text("mup_enabled = True\nn_embd = 8\n")
    result = lint_file(tmp_path / "a.py", "nanogpt-mup")

    assert (result.framework, codes(result)) == ("nanogpt", ["nanogpt/width-multiplier"])


def test_a_recipe_is_no_plan(tmp_path: Path) -> None:
    """It is said to be one, with the command that writes what is meant."""
    (tmp_path / "run.sh").write_text("python pretrain_gpt.py --lr 1 --num-layers 2\n")
    result = CliRunner().invoke(app, ["lint", str(tmp_path / "run.sh"), "--plan", "recipes/quickstart.yaml"])

    assert result.exit_code == 2
    assert "recipes/quickstart.yaml, which is a recipe" in result.output
    assert "hptransfer scale recipes/quickstart.yaml" in result.output


def test_json_is_one_of_the_formats(tmp_path: Path) -> None:
    """The edited export's finding in the form for programs."""
    file = {"training_args.json": (LR, '"learning_rate": 0.00125')}
    path = write_export(tmp_path, "huggingface", llama_target(), file) / "training_args.json"
    result = CliRunner().invoke(app, ["lint", str(path), "--plan", str(tmp_path / "target.yaml"), "--json"])

    assert result.exit_code == 1
    assert [each["code"] for each in json.loads(result.stdout)["files"][0]["findings"]] == [
        "lint/edited-export",  # of the file as a whole, so before what stands on a line
        "huggingface/group-values",
    ]
