"""Every framework passes the suite for users' frameworks; nothing is found in files that are right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hptransfer.errors import UsageError
from hptransfer.export.base import EXPORTERS
from hptransfer.linting.foreign.base import FOREIGN_RULES, document
from hptransfer.linting.foreign_files import FileLint, lint_file
from hptransfer.linting.planned import Planned, planned_of, read_planned
from hptransfer.linting.reading import python
from hptransfer.testing.foreign_rules import EXAMPLE_PLAN, ForeignRulesConformance
from tests.support.exported import llama_target, write_export
from tests.support.plugins import install

ROOT = Path(__file__).parents[2]


class TestBuiltIn(ForeignRulesConformance):
    """Every framework of the room."""

    @pytest.fixture(params=FOREIGN_RULES.built_in)
    def reference(self, request: pytest.FixtureRequest) -> str:
        """One of them."""
        return str(request.param)


def lint(folder: Path, name: str, text: str, plan: Planned | None = None, framework: str | None = None) -> FileLint:
    """What a file with this text gives."""
    (folder / name).write_text(text, "utf-8")
    return lint_file(folder / name, framework, plan)


def codes(result: FileLint) -> list[str]:
    """Codes of what was found, errors first."""
    return [finding.code for finding in (*result.errors, *result.warnings)]


def test_the_page_of_rules_is_generated() -> None:
    """docs/lint-foreign.md equals what the rules say now."""
    assert (ROOT / "docs/lint-foreign.md").read_text(encoding="utf-8") == document()


def test_codes_begin_with_their_framework() -> None:
    """So a code means one rule."""
    for name in FOREIGN_RULES.built_in:
        assert all(rule.code.startswith(f"{name}/") for rule in FOREIGN_RULES.look_up(name).rules)


# The headline: switched on and scaled by hand, or neither.

MEGATRON = "python pretrain_gpt.py --num-layers 4 --hidden-size 192 --adam-beta2 0.95 {}\n"
SWITCH = "--use-mup --mup-base-hidden-size 64 --mup-base-head-dim 16"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (f"{SWITCH} --lr 0.01", []),  # the base rate, and Megatron divides it by 3
        (f"{SWITCH} --lr 0.00333333", ["megatron/scaled-twice"]),  # 0.01 / 3, and divided by 3 once more
        ("--lr 0.01", ["megatron/not-scaled"]),
        ("--use-mup --mup-base-head-dim 16 --lr 0.01", ["megatron/not-scaled", "megatron/mup-base-hidden-size"]),
        (f"{SWITCH} --lr 0.007", []),  # neither: another tuning
        ("--lr 0.01 $@", []),  # the switch may be in what is not read
    ],
)
def test_a_rate_is_scaled_once(tmp_path: Path, flags: str, expected: list[str]) -> None:
    """With the plan of a real target, three times as wide as its base."""
    target = llama_target("mup")
    (tmp_path / "target.yaml").write_text(target.to_yaml("plan.optimizer(model)"), "utf-8")

    assert codes(lint(tmp_path, "run.sh", MEGATRON.format(flags), read_planned(tmp_path / "target.yaml"))) == expected


def test_a_target_without_rows_is_scaled_as_mup_says() -> None:
    """A model that its trainer builds: hidden weights get the base rate over the ratio of widths, Adam's row of muP."""
    target = llama_target("mup").model_copy(update={"parameters": ()})

    assert planned_of(target).hidden == pytest.approx([0.01 / 3])


def test_a_target_at_the_base_scales_nothing() -> None:
    """Negative control: no rate differs from the base's there."""
    target = llama_target("mup")
    same_size = target.model_copy(update={"parameters": (), "size": target.base})

    assert planned_of(same_size).hidden == ()


# What is right stays unmentioned.


@pytest.mark.parametrize("name", EXPORTERS.built_in)
@pytest.mark.parametrize("manifest", [True, False], ids=["in its folder", "copied away"])
def test_nothing_is_found_in_what_is_exported(tmp_path: Path, name: str, manifest: bool) -> None:
    """With the plan that they are of; in their folder the note leads to `verify --export`."""
    target = llama_target("mup")
    try:
        folder = write_export(tmp_path, name, target)
    except UsageError:
        pytest.skip("this framework cannot hold that plan")
    if not manifest:
        (folder / "export.json").unlink()
    for path in sorted(each for each in folder.rglob("*") if each.is_file() and each.name != "export.json"):
        result = lint_file(path, None, planned_of(target))
        assert [each for each in codes(result) if each != "lint/unreadable"] == []
        if manifest:
            assert any("hptransfer verify --export" in note for note in result.notes)


def test_an_exported_file_that_was_edited_is_checked(tmp_path: Path) -> None:
    """A planted mistake in a folder with its manifest: an unchanged file alone is passed over."""
    folder = write_export(tmp_path, "torch", llama_target("mup"))
    module = folder / "hptransfer_groups.py"
    module.write_text(
        module.read_text("utf-8") + '\ngroups = [{"params": [], "lr": 1.0}]\n'
        'def step(optimizer, rate):\n    for g in optimizer.param_groups:\n        g["lr"] = rate\n'
    )

    assert codes(lint_file(module)) == ["torch/rate-overwritten"]


NANOGPT_LOOP = """\
import torch
optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-4, total_steps=100)
for param_group in optimizer.param_groups:
    param_group["lr"] = get_lr(step)
optimizer.load_state_dict(checkpoint["optimizer"])
"""


def test_one_rate_for_all_groups_is_right_where_there_is_one(tmp_path: Path) -> None:
    """The loop of nanoGPT has one rate: nothing is lost; with a plan of several, each line loses them."""
    assert codes(lint(tmp_path, "train.py", NANOGPT_LOOP)) == []
    assert codes(lint(tmp_path, "train.py", NANOGPT_LOOP, EXAMPLE_PLAN)) == [
        "torch/one-cycle",
        "torch/rate-overwritten",
        "torch/resumed-rates",
    ]


def test_a_rate_that_the_group_scales_is_right(tmp_path: Path) -> None:
    """The loop of nanoGPT-mup, train.py line 294 at b2a5e60: `lr * param_group.get('lr_scale', 1.0)`."""
    text = NANOGPT_LOOP.replace("get_lr(step)", "get_lr(step) * param_group.get('lr_scale', 1.0)")

    assert "torch/rate-overwritten" not in codes(lint(tmp_path, "train.py", text, EXAMPLE_PLAN))


def test_a_multiplier_that_is_rounded_is_right(tmp_path: Path) -> None:
    """1024 / 768 written with three digits; 3 of 1024 is no base width, however it is written."""
    config = "n_layer = 2\nn_embd = 1024\nblock_size = 8\nmup_enabled = True\nmup_width_multiplier = {}\n"

    assert codes(lint(tmp_path, "config.py", config.format("1.333"))) == []
    assert codes(lint(tmp_path, "config.py", config.format("3.0"))) == ["nanogpt/base-width"]


def test_flags_below_an_if_are_not_missing(tmp_path: Path) -> None:
    """They may be given: a rule about what is missing is silent, one about what is there is not."""
    script = (
        "MUP=(--use-mup --mup-base-hidden-size 64)\n"
        'if [ -n "$1" ]; then\n  MUP+=(--mup-base-head-dim 16)\nfi\n'
        "python pretrain_gpt.py --hidden-size 192 ${MUP[@]} --mup-width-mult 3\n"
    )

    assert codes(lint(tmp_path, "run.sh", script)) == ["megatron/mup-width-mult"]


def test_megatron_in_yaml(tmp_path: Path) -> None:
    """Keys that are flags, as in Megatron's functional tests (gpt3_mcore_te_tp1_pp1_mup/model_config.yaml)."""
    text = (
        "MODEL_ARGS:\n  --num-layers: 12\n  --hidden-size: 512\n  --micro-batch-size: 4\n  --use-mup: true\n"
        "  --mup-base-hidden-size: 256\n"
    )
    (found,) = lint(tmp_path, "model_config.yaml", text).warnings

    assert (found.code, str(found.place)) == ("megatron/mup-base-head-dim", f"{tmp_path}/model_config.yaml:5:3")


def test_values_of_the_target_with_the_switch_at_one(tmp_path: Path) -> None:
    """A base as wide as the model divides by 1: Megatron's factor of attention alone is wanted, with written values."""
    flags = "--use-mup --mup-base-hidden-size 1024 --mup-base-head-dim 64 --lr 0.0025"
    script = f"python pretrain_gpt.py --num-layers 2 --hidden-size 1024 --adam-beta2 0.95 {flags}\n"

    assert codes(lint(tmp_path, "run.sh", script, EXAMPLE_PLAN)) == []


def test_a_fused_attention_of_torchtitan_has_other_names(tmp_path: Path) -> None:
    """`fuse_qkv=True`, the builder's default: one weight, `wqkv`, in place of three."""
    patterns = ["tok_embeddings", r"attention\\.wqkv", r"attention\\.wo", "feed_forward", "norm", "lm_head"]
    values = "lr=1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0"
    groups = [
        f'ParamGroupConfig(pattern="{each}", optimizer_name="AdamW", optimizer_kwargs=dict({values}))'
        for each in patterns
    ]
    text = f"import torchtitan\ngroups = [{', '.join(groups)}]\n"

    assert codes(lint(tmp_path, "config_registry.py", text)) == []


# Which framework.


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", '{"a": 1}', "nothing in it names one"),
    ],
)
def test_a_file_must_be_of_one_framework(tmp_path: Path, name: str, text: str, said: str) -> None:
    """Unknown or ambiguous: the names to choose from; a name decides."""
    result = lint(tmp_path, name, text)

    assert result.unavailable
    assert said in str(result.errors[0].received)
    assert all(each in str(result.errors[0].hint) for each in FOREIGN_RULES.built_in)
    assert not lint(tmp_path, name, text, framework="torch").unavailable


def test_an_unknown_framework_is_a_usage_error(tmp_path: Path) -> None:
    """With the nearest name."""
    with pytest.raises(UsageError, match="must be one of") as caught:
        lint(tmp_path, "run.sh", "x --y 1\n", framework="megatorn")
    assert caught.value.findings[0].hint == "did you mean `megatron`?"


OWN = """\
from hptransfer.linting.foreign.base import Example, ForeignRule, Framework, Trap

def slow(file):
    setting = file.get("trainer.rate")
    if setting is not None and (setting.number or 0) > 1:
        yield Trap(setting.place, setting.written)

FRAMEWORK = Framework(
    "House trainer: YAML.", "2026", lambda file: ("house",) if file.get("house") else (),
    (ForeignRule("house/rate", "a rate is at most 1", "It diverges.", "write 1",
                 Example("house: 1\\ntrainer:\\n  rate: 2\\n", "house: 1\\ntrainer:\\n  rate: 1\\n", "rate", "h.yaml"),
                 slow),),
)
"""


def test_an_installed_framework_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's rules run on files that they recognise."""
    install(monkeypatch, tmp_path, "house_lint", OWN, {"hptransfer.foreign_rules": {"house": "house_lint:FRAMEWORK"}})
    result = lint(tmp_path, "h.yaml", "house: 1\ntrainer:\n  rate: 2\n")

    assert (result.framework, codes(result)) == ("house", ["house/rate"])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (OWN.replace('file.get("trainer.rate")', "file.nothing"), "must check every file"),
        ("FRAMEWORK = 5", "whose `about` is no str"),
        (OWN.replace("(ForeignRule(", "(5, ForeignRule("), "which is no `hptransfer.linting.foreign.base.ForeignRule`"),
        ("1 / 0", "must be importable"),
    ],
)
def test_a_framework_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    """A user's code that raises is a usage error, not a defect of hptransfer."""
    module = f"failing_framework_{len(source)}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))

    with pytest.raises(UsageError) as caught:
        lint(tmp_path, "h.yaml", "house: 1\ntrainer:\n  rate: 2\n", framework=f"{module}:FRAMEWORK")
    assert said in str(caught.value)


def test_a_plan_of_one_rate_loses_nothing() -> None:
    """Negative control of `several`."""
    assert EXAMPLE_PLAN.several
    assert not replace(EXAMPLE_PLAN, rates={"embedding": (0.01,), "hidden weight": (0.01,)}).several


def test_what_was_too_much_to_work_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python file with more expressions than are followed: a note, and no hang."""
    monkeypatch.setattr(python, "MOST_EVALUATED", 10)
    result = lint(tmp_path, "f.py", "\n".join(f"a{i} = {i}" for i in range(20)), framework="torch")

    assert result.notes == (
        f"{tmp_path / 'f.py'}: not read: values that come after 10 expressions; a setting that may stand there is not "
        "reported as missing",
    )


TRAINER_AND_SCHEDULER = """import torch
from transformers import Trainer, TrainingArguments

plan = hptransfer.load_plan("target.yaml")
optimizer = torch.optim.AdamW(plan.param_groups(model), betas=(0.9, 0.95))
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=100)
arguments = TrainingArguments("out", adam_beta2=0.95)
trainer = Trainer(model=model, args=arguments, optimizers=(optimizer, scheduler))
"""


def test_a_program_is_asked_the_rules_of_all_that_it_uses(tmp_path: Path) -> None:
    """A scheduler of torch that makes all rates one is found beside the Trainer, which marks the file as well."""
    alone = lint(tmp_path, "train.py", TRAINER_AND_SCHEDULER, framework="torch")
    found = lint(tmp_path, "train.py", TRAINER_AND_SCHEDULER)

    assert codes(alone)
    assert set(codes(alone)) <= set(codes(found))
    assert (found.framework, found.others) == ("huggingface", ("torch",))
    assert len({(each.place, each.rule) for each in found.errors}) == len(found.errors)


def test_all_frameworks_of_a_program_are_named(tmp_path: Path) -> None:
    """A file that is sound says whose rules were asked; one command is of one framework."""
    path = tmp_path / "train.py"

    assert lint(tmp_path, "train.py", "import torchtitan\nimport olmo_core\nimport torch\n").sound == (
        f"{path}: nothing found (olmo-core, torchtitan, torch)"
    )


def test_a_folder_is_refused_with_what_to_name(tmp_path: Path) -> None:
    """`verify --export` takes folders, `lint` files."""
    (found,) = lint_file(tmp_path).errors

    assert found.received == f"{tmp_path}: a folder"
    assert "`FOLDER/*.py`" in str(found.hint)
    assert "`hptransfer verify --export FOLDER`" in str(found.hint)
