"""What OLMo-core's users run: its trainer with the exported file, and a ladder of exported models under `watch`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("olmo_core", reason="ai2-olmo-core is one of requirements/frameworks.lock")

from hptransfer.sizes import Size
from tests.support.exported import llama_target, write_export
from tests.support.olmo_core import watched_ladder

#: of a normal distribution cut at 3 std; scipy.stats.truncnorm(-3, 3).std()
CUT = 0.9865783925581086


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["width", "depth"])
def test_the_coordinate_check_of_the_exported_model_is_flat(axis: str, tmp_path: Path) -> None:
    """Widths 64, 128, 256 under muP and depths 2, 4, 8 under CompleteP, through `watch` and `judge --coordinates`."""
    report = watched_ladder(tmp_path, axis=axis)

    assert report.verdict == "HOLDS", report.sentence


_RATE = r"(opts=dict\(lr=)([0-9.e-]+)"
#: of sizes in a ladder: what is wrong at all of them, (axis, pattern, replacement, part of the sentence)
UNFLAT: Mapping[str, tuple[str, str, Any, str]] = {
    "rates scaled twice": (
        "width",
        _RATE,
        lambda found: f"{found[1]}{float(found[2]) ** 2 * 2**8!r}",
        "multiply its learning rate by width_mult",
    ),
    "rates not scaled": (
        "width",
        _RATE,
        lambda found: f"{found[1]}{2.0**-8!r}",
        "multiply its learning rate by 1/width_mult",
    ),
    "readout's init not scaled": (
        "width",
        r"('lm_head.w_out.weight'): [0-9.]+",
        r"\1: 1.0",
        "readout (lm_head.w_out.weight): init std",
    ),
    # 1/8 is the base's 1/sqrt(fan_in)
    "init not scaled": (
        "width",
        r" init_std=[0-9.]+",
        f" init_std={0.125 / CUT}",
        "init std grows as width^+0.00, should be width^-0.5",
    ),
    "init scaled twice": (
        "width",
        r" init_std=([0-9.]+)",
        lambda found: f" init_std={float(found[1]) ** 2 * CUT / 0.125!r}",
        "init std grows as width^-1.00, should be width^-0.5",
    ),
    "residual factor left out": (
        "depth",
        r"residual_alpha = .*",
        "residual_alpha = 1.0",
        "changes depend on depth in blocks.last",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(UNFLAT))
def test_the_coordinate_check_of_a_planted_mistake_is_not(name: str, tmp_path: Path) -> None:
    """It fails, and says what is wrong."""
    axis, pattern, replacement, said = UNFLAT[name]
    report = watched_ladder(tmp_path, [(pattern, replacement)], axis=axis)

    assert report.verdict == "FAILS"
    assert said in report.sentence


def script_of_the_page() -> str:
    """The user's training script of docs/export-olmo-core.md."""
    page = (Path(__file__).parents[2] / "docs/export-olmo-core.md").read_text(encoding="utf-8")
    lines = page[page.index("    import sys\n") : page.index("Where `init_` is in the file")].splitlines()
    return "\n".join(line[4:] for line in lines) + "\n"


_IDS = """
import json
folder = sys.argv[1]
data = dataset(folder).build()
data.prepare()
read = [int(token) for number in range(len(data)) for token in data[number]["input_ids"]]
written = np.fromfile(f"{folder}/tokens.npy", np.uint16).tolist()
print(json.dumps({"read": len(read), "same": read == written[: len(read)], "length": len(data[0]["input_ids"])}))
"""


@pytest.mark.parametrize("mistake", [False, True])
def test_the_tokens_of_the_page_are_read_as_they_were_written(mistake: bool, tmp_path: Path) -> None:
    """Without its `dtype` line OLMo-core reads bytes for a vocabulary of 256: every second token would be 0."""
    target = llama_target(size=Size(128, 2, 8, 8192))
    assert target.training is not None
    # 8192 tokens in 64 steps of 8 sequences: 16 each
    target = target.model_copy(update={"training": target.training.model_copy(update={"steps": 64})})
    folder = write_export(tmp_path, "olmo-core", target)
    script = script_of_the_page().partition("if __name__")[0] + _IDS
    if mistake:
        script = "\n".join(line for line in script.splitlines() if "dtype=" not in line)
    (folder / "ids.py").write_text(script, encoding="utf-8")
    (tmp_path / "data").mkdir()
    run = subprocess.run(
        [sys.executable, "ids.py", str(tmp_path / "data")], cwd=folder, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stderr[-2000:]
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["length"] == 16
    assert said["same"] is not mistake
    assert said["read"] == (80_000 if mistake else 40_000)


@pytest.mark.slow
def test_the_script_of_the_page_trains(tmp_path: Path) -> None:
    """A user's script with OLMo-core's own trainer: each group ends at its share of its peak."""
    target = llama_target(size=Size(128, 4, 8, 8192))
    assert target.training is not None
    training = target.training.model_copy(update={"steps": 4, "schedule": "cosine", "floor": 0.1, "clip": 1.0})
    folder = write_export(tmp_path, "olmo-core", target.model_copy(update={"training": training}))
    (folder / "train.py").write_text(script_of_the_page(), encoding="utf-8")
    without = (folder / "train.py").read_text().replace("        plan.init_(", "        print(")
    (folder / "forgotten.py").write_text(without.replace("    plan.init_(", "    print("), encoding="utf-8")

    ends = {}
    for script in ("train.py", "forgotten.py"):
        (tmp_path / script).mkdir()
        ends[script] = subprocess.run(
            [sys.executable, script, str(tmp_path / script)], cwd=folder, capture_output=True, text=True, check=False
        )

    assert ends["train.py"].returncode == 0, ends["train.py"].stderr[-2000:]
    rates = [line.split() for line in ends["train.py"].stdout.splitlines() if line.startswith("rate")]
    shares = [float(rate) / float(peak) for _, rate, _, peak in rates]
    # cosine from 1 to 0.1 over 4 steps, at the fourth, that is after three: 0.1 + 0.9 (1 + cos(3 pi / 4)) / 2
    assert shares == pytest.approx([0.2318019] * len(shares), rel=1e-6)
    assert len({peak for *_, peak in rates}) > 1
    assert ends["forgotten.py"].returncode != 0
    assert "call init_(train_module.model) right after the train module is built" in ends["forgotten.py"].stdout
