"""The coordinate check of what was exported for Hugging Face: flat as written, and not with a planted mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hptransfer
from hptransfer.checking.judge_coordinates import CoordinateJudgement, judge_coordinate_files
from hptransfer.roundtrip.torch import load_module
from hptransfer.sizes import Size
from hptransfer.statistics.slope import RowVerdict
from tests.support.exported import llama_target, write_export
from tests.support.huggingface_exports import Text, with_training

transformers = pytest.importorskip("transformers", reason="needs the extra `hf`")
pytest.importorskip("accelerate", reason="Trainer needs it")

pytestmark = [
    pytest.mark.slow,
    # torch, of a machine without an accelerator
    pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning"),
]

#: rate, eps and init are those of tests/models/test_llama_coordinates.py
RATE = 2**-8
FACTORY = 'return OptimizerFactory, {"args": args}'
#: as a script does that leaves optimizer_cls_and_kwargs out: Trainer's own two groups, at the base's rate
PLAIN = 'return torch.optim.AdamW, {"lr": args.learning_rate, "betas": (args.adam_beta1, args.adam_beta2)}'
#: the hidden weights' rates at each width, divided by the width's growth once more
MISTAKES: dict[str, Any] = {
    "none": lambda growth: {},
    "scaled twice": lambda growth: {
        "hptransfer_hf.py": (f"'learning_rate': {RATE / growth!r}", f"'learning_rate': {RATE / growth**2!r}")
    },
    "no factory": lambda growth: {"hptransfer_hf.py": (FACTORY, PLAIN)},
    "init_ not called": lambda growth: {"hptransfer_hf.py": ("    init_(model)\n", "")},
}


def checked(
    folder: Path, mistake: str, widths: tuple[int, ...] = (64, 128, 256), seeds: int = 3
) -> CoordinateJudgement:
    """Trainer's runs at several widths and seeds, watched in their first steps."""
    record = folder / "coordinates.jsonl"
    probe = Text(8, first=1000).tokens
    for width in widths:
        plan = llama_target("mup", size=Size(width, 2, 8, 8192), init="rule", learning_rate=RATE, eps=1e-12)
        target = with_training(plan, schedule="constant", warmup=0.0)
        edits = MISTAKES[mistake](width / 64)
        written = write_export(folder / str(width), "huggingface", target, edits)
        module = load_module(written / "hptransfer_hf.py")
        for seed in range(seeds):
            args = module.training_arguments(
                output_dir=str(folder / "out"), max_steps=10, seed=seed, disable_tqdm=True, save_strategy="no"
            )
            transformers.set_seed(seed)
            model = module.build_model()
            trainer = transformers.Trainer(
                model,
                args,
                train_dataset=Text(800),
                optimizer_cls_and_kwargs=module.optimizer_cls_and_kwargs(args),
            )
            optimizer = trainer.create_optimizer()
            watcher = hptransfer.watch(
                model, {"input_ids": probe}, optimizer=optimizer, path=record, size={"width": width}, seed=seed
            )
            with watcher:
                trainer.train()
    return judge_coordinate_files([record])


def test_what_was_written_holds(tmp_path: Path) -> None:
    """Every layer's change, the logits' too, is seen not to depend on the width, at steps 1, 3 and 10.

    Of 16 seeds that were trained at these widths, the first 3 leave 12 rows open, 4 two, and 6 or more none; of three
    widths, 12 seeds or more leave none.
    """
    found = checked(tmp_path, "none", (64, 128, 256, 512), seeds=8)

    assert found.verdict is RowVerdict.HOLDS, found.reports[0].sentence
    assert len([row for row in found.reports[0].rows if row.judged]) == 3 * (2 + 2 * 8)


@pytest.mark.parametrize("mistake", [name for name in MISTAKES if name != "none"])
def test_a_planted_mistake_is_not_flat(mistake: str, tmp_path: Path) -> None:
    """The same check FAILS."""
    assert checked(tmp_path, mistake).verdict is RowVerdict.FAILS
