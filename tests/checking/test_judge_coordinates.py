"""`judge --coordinates`: trainings with known outcomes, mup's own table, and files that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

import hptransfer
from hptransfer.checking.judge_coordinates import judge_coordinate_files, read_runs
from hptransfer.cli.app import app
from hptransfer.data.stdlib_text import StdlibText
from hptransfer.diagnostics.coordinate import CoordinateReport
from hptransfer.statistics.slope import RowVerdict
from hptransfer.training.data import Corpus, load_batches
from hptransfer.training.loop import TrainingSettings, build_optimizer, training_losses
from tests.support import mistakes, watched

#: what fails, fails at three widths with three seeds; what holds takes all of `watched.WIDTHS`
FEW = (64, 256, 1024)


def judge(*paths: Path, options: Sequence[str] = ()) -> Result:
    """The command."""
    return CliRunner().invoke(app, ["judge", "--coordinates", *map(str, paths), *options])


def words(text: str) -> str:
    """Without line breaks."""
    return " ".join(text.split())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Watched runs of a kind of training, each made once."""
    folder = tmp_path_factory.mktemp("watched")

    def of(kind: str) -> Path:
        path = folder / f"{kind.replace(' ', '-')}.jsonl"
        widths = FEW if kind in ("standard", "wrong readout") else watched.WIDTHS
        return path if path.exists() else watched.watched(path, kind, widths)

    return of


@pytest.mark.parametrize(
    ("kind", "status", "sentence"),
    [
        ("mup", 0, "HOLDS: every layer's change is independent of width within the tolerance."),
        ("zero readout", 0, "HOLDS: every layer's change is independent of width within the tolerance."),
        ("standard", 1, "FAILS: hidden weights (fc2.weight, fc3.weight): update grows as width^+1"),
        ("standard", 1, "multiply its learning rate by 1/width_mult. readout (readout.weight): update grows"),
        ("wrong readout", 1, "FAILS: readout (readout.weight): its fan-in grows with width, and it is scaled as if"),
    ],
)
def test_unmodified_mup_in_a_plain_loop(kind: str, status: int, sentence: str, files: Callable[[str], Path]) -> None:
    """Tensor Programs V: muP moves every layer alike; the standard parameterization's hidden updates grow as width."""
    result = judge(files(kind))

    assert sentence in words(result.stdout)
    assert result.exit_code == status


def test_a_readout_at_zero_hides_the_first_step_alone(files: Callable[[str], Path]) -> None:
    """Behind it nothing has a gradient at first: that is said, and judged from the next measured step on."""
    report = judge_coordinate_files([files("zero readout")]).reports[0]
    open_rows = {(row.layer, row.step) for row in report.rows if not row.judged}

    assert open_rows == {("fc1", 1), ("fc2", 1), ("fc3", 1)}
    assert {row.name: row.step for row in report.parameters if row.place != "vector"} == {
        "fc1.weight": 3, "fc2.weight": 3, "fc3.weight": 3, "readout.weight": 1
    }  # fmt: skip
    assert "(unmoved)" in judge(files("zero readout")).stdout


def test_files_may_be_many_and_the_document_has_all(files: Callable[[str], Path], tmp_path: Path) -> None:
    """A file per run gives the verdict of one file with all runs; stdout is JSON alone."""
    lines = files("mup").read_text().splitlines(keepends=True)
    runs = {json.loads(line)["run"] for line in lines}
    paths = [tmp_path / f"{run}.jsonl" for run in sorted(runs)]
    for path in paths:
        path.write_text("".join(line for line in lines if json.loads(line)["run"] == path.stem))

    many, one = (json.loads(judge(*each, options=["--json"]).stdout) for each in (paths, [files("mup")]))
    assert many["verdict"] == "HOLDS"
    assert many["files"] == [str(path) for path in paths]
    rows = [{(row["layer"], row["step"]): row["slope"] for row in each["axes"][0]["rows"]} for each in (many, one)]
    assert rows[0] == pytest.approx(rows[1])


def test_the_tolerance_can_be_set(files: Callable[[str], Path]) -> None:
    """A band of 0.001 is narrower than any error; a negative one is none."""
    assert judge(files("mup"), options=["--tolerance", "0.001"]).exit_code in (1, 3)
    assert judge(files("mup"), options=["--tolerance", "-1"]).exit_code == 2


def test_without_a_probe_updates_alone_are_judged(tmp_path: Path) -> None:
    """It says so; what a class of mup's does with its weight is not known then, and stays open."""
    plain = judge(watched.watched(tmp_path / "a.jsonl", "standard", FEW, with_probe=False))
    of_mup = judge(watched.watched(tmp_path / "b.jsonl", "mup", FEW, with_probe=False))

    assert plain.exit_code == 1
    assert "no probe: only updates are judged" in words(plain.stderr)
    assert "activations were not measured, so layers, logits and attention are not judged" in words(plain.stdout)
    assert of_mup.exit_code == 3
    assert "without a probe nothing is known of readout.weight" in words(of_mup.stdout)


class Rescaled(nn.Module):
    """Two layers whose updates are as the widths ask: plain torch, no readout of mup's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inputs, self.readout = nn.Linear(watched.FEATURES, width), nn.Linear(width, watched.CLASSES, bias=False)
        nn.init.normal_(self.readout.weight, std=1 / width)

    def forward(self, x_BxF: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        scores_BxC: torch.Tensor = self.readout(torch.relu(self.inputs(x_BxF)))
        return scores_BxC


def test_updates_alone_can_hold(tmp_path: Path) -> None:
    """By hand (readout's rate and init by 1/width): every update goes as its rule says."""
    for width in FEW:
        for seed in range(3):
            torch.manual_seed(seed)
            model = Rescaled(width)
            groups: list[dict[str, Any]] = [
                {"params": model.inputs.parameters()},
                {"params": model.readout.parameters(), "lr": 0.2 / width},
            ]
            optimizer = torch.optim.Adam(groups, lr=3e-3)
            hptransfer.watch(
                model, steps=(1,), optimizer=optimizer, path=tmp_path / "a", size={"width": width}, seed=seed
            )
            list(watched.train(model, optimizer, seed, 1))
    result = judge(tmp_path / "a")

    assert "HOLDS: every parameter's update goes as its rule says along width; activations were not" in words(
        result.stdout
    )
    assert result.exit_code == 0


@pytest.fixture
def corpus() -> Corpus:
    """The standard library's own text."""
    batches = load_batches(StdlibText(kind="stdlib-text"), Path())
    assert isinstance(batches, Corpus)
    return batches


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("completep, decoder, depth", RowVerdict.HOLDS), ("residual multiplier missing", RowVerdict.FAILS)],
)
def test_depth(name: str, verdict: RowVerdict, corpus: Corpus, tmp_path: Path) -> None:
    """A decoder under CompleteP, with and without its multiplier: the same report as from the recipe's own check."""
    mistake = (mistakes.CORRECT | mistakes.MISTAKES)[name]
    settings = TrainingSettings(steps=3, batch_size=16, context=mistakes.CONTEXT, schedule="constant", warmup=0.0)
    (batch,) = corpus.validation_batches(1, settings.batch_size, settings.context)
    measured = []
    for depth in (2, 4, 8):
        for seed in range(5):
            measured += mistakes.runs(mistake, corpus, [depth], [seed])
            module, groups = mistakes.planned(mistake, depth, seed)
            optimizer = build_optimizer(groups, settings)
            size = {"width": 64, "depth": depth}
            hptransfer.watch(
                module, batch[:, :-1], (1, 3), optimizer=optimizer, path=tmp_path / "a", size=size, seed=seed
            )
            list(training_losses(module, groups, corpus, settings, seed, optimizer=optimizer))
    (found,) = judge_coordinate_files([tmp_path / "a"]).reports

    assert found.axis == "depth"
    assert found.verdict is verdict
    assert slopes(found) == pytest.approx(slopes(mistakes.checked(mistake, measured)))


def slopes(report: CoordinateReport) -> dict[Any, float]:
    """Slopes of layers and updates."""
    layers = {(row.layer, row.step): row.slope for row in report.rows if row.judged}
    return layers | {row.name: row.update.estimate for row in report.parameters}


# ---------------------------------------------------------------------------------------------------------------------
# mup's table


@pytest.mark.parametrize(
    ("kind", "status", "sentence"),
    [
        ("mup", 0, "HOLDS: no layer grows or falls with width"),
        ("zero readout", 0, "HOLDS: no layer grows or falls with width"),
        ("standard", 1, "FAILS: with training activations depend on width in readout"),
        ("wrong readout", 1, "FAILS: before the first step activations depend on width in readout"),
    ],
)
def test_the_table_of_mups_own_check(kind: str, status: int, sentence: str, tmp_path: Path) -> None:
    """Unmodified `get_coord_data` on the same trainings: the same verdicts, and which module gives logits is found."""
    result = judge(watched.mups_table(tmp_path / "coord.csv", kind))

    assert sentence in words(result.stdout)
    assert "logits: readout, which is the model's output" in result.stderr
    assert "are 3 seeds, in their order" in result.stderr
    assert result.exit_code == status


def test_a_single_seed_of_mups_is_not_enough(tmp_path: Path) -> None:
    """`get_coord_data` trains one by default: what would be enough is said."""
    result = judge(watched.mups_table(tmp_path / "coord.csv", "mup", (64, 128), seeds=1))

    assert result.exit_code == 3
    assert "at least two widths and two seeds" in result.stderr
    assert "nseeds=3" in result.stderr


def table(logits: float = -0.3, layer: float = 0.0, *, growth: float = 0.0) -> str:
    """A table as of huggingface/transformers #45848: mean absolute activations, l1 = 0.13 at width 64."""
    rows = ["width,module,t,seed,l1"]
    for width in (64, 128, 256):
        for t in (1, 2, 3):
            for seed in range(3):
                for module, slope in (("lm_head", logits), ("model.layers.0.mlp.down_proj", layer + growth * (t > 1))):
                    rows.append(f"{width},{module},{t},{seed},{0.13 * (1 + 0.02 * seed) * (width / 64) ** slope!r}")
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (table(), 0, "HOLDS: no layer grows or falls with width beyond the tolerance, logits fall by 1/2 at most"),
        (table(), 0, "a layer that learns less the wider it is would look the same"),
        (table(logits=-0.5), 0, "HOLDS"),
        (table(logits=-1.0), 1, "in lm_head (slope -1.00"),
        (table(logits=0.5), 1, "in lm_head (slope +0.50"),
        (table(layer=-0.5), 1, "before the first step activations depend on width in model.layers.0.mlp.down_proj"),
        (
            table(growth=1.0),
            1,
            "with training activations depend on width in model.layers.0.mlp.down_proj (slope +1.00",
        ),
        (table().replace("64,lm_head,2,0,0.13", "64,lm_head,2,0,nan"), 1, "not finite, at some of the widths: lm_head"),
    ],
)
def test_a_table_with_known_slopes(content: str, status: int, sentence: str, tmp_path: Path) -> None:
    """Logits of a random readout fall as width^-1/2 under muP (Tensor Programs V, D.1), other layers are flat."""
    (tmp_path / "coord.csv").write_text(content)
    result = judge(tmp_path / "coord.csv")

    assert sentence in words(result.stdout)
    assert result.exit_code == status
    assert ("no value changes with t" in result.stderr) == ("growth" not in sentence and content in (
        table(), table(logits=-0.5), table(logits=-1.0), table(logits=0.5), table(layer=-0.5)
    ))  # fmt: skip


def test_what_modules_return_is_told_from_losses_inputs_and_parameters(tmp_path: Path) -> None:
    """Names as mup writes them for mappings; a module that is called twice in a pass has two rows, not two seeds."""
    rows = ["width,module,t,l1"]
    for seed in range(2):
        for width in (64, 128):
            for t in (1, 2):
                value = 1 + 0.01 * seed
                rows += [f"{width},{name},{t},{value * scale}" for name, scale in (
                    ("act", 1.0), ("act", 2.0), ("act:in[0]", width), ("act:param[weight]", width), ("head", 3.0),
                    (":out[loss]", width), (":out[logits]", 3.0),
                )]  # fmt: skip
    (tmp_path / "coord.csv").write_text("\n".join(rows))
    report = json.loads((result := judge(tmp_path / "coord.csv", options=["--json"])).stdout)

    assert {(row["layer"], row["kind"]) for row in report["axes"][0]["rows"]} == {
        ("act", "layer"), ("act#2", "layer"), ("head", "logits")
    }  # fmt: skip
    assert report["axes"][0]["seeds"] == 2
    assert report["verdict"] == "HOLDS"
    assert "left out: 24 rows of losses, inputs and parameters" in result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("width,layer,t,l1\n64,a,1,1\n", "must have the columns width, module, t and l1 or l2"),
        (table().replace("64,lm_head,2,0,0.13", "64,lm_head,2,0,much"), "coord.csv:8"),
        (table().replace("64,lm_head,2,0,0.13", "64,lm_head,2,0,-1"), "`l1` is a size, at least 0"),
        (table().replace("64,lm_head,2,0,", "wide,lm_head,2,0,"), "column `width` must hold numbers"),
        (table().replace("64,lm_head,2,0,", "0.5,lm_head,2,0,"), "`width` must be a whole number"),
        (table().replace("64,lm_head,2,0,0.13\n", ""), "every layer must be measured once at every width and seed"),
        ("width,module,t,l1,lr\n64,a,1,1,0.1\n64,a,1,1,0.2\n", "must be of one training: one `lr`"),
    ],
)
def test_a_table_that_cannot_be_judged_is_refused(content: str, message: str, tmp_path: Path) -> None:
    """With the rule, and the line where there is one."""
    (tmp_path / "coord.csv").write_text(content)
    result = judge(tmp_path / "coord.csv")

    assert message in words(result.stderr).replace(f"{tmp_path}/", "")
    assert result.exit_code == 2


# ---------------------------------------------------------------------------------------------------------------------
# files that are not what they should be


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Lines of six small runs: widths 8 and 16, seeds 0 to 2, steps 1 and 2."""
    path = tmp_path_factory.mktemp("short") / "a.jsonl"
    watched.watched(path, "standard", (8, 16), (0, 1, 2), count=2, steps=(1, 2))
    return path.read_text().splitlines(keepends=True)


def refused(lines: Sequence[str], folder: Path, status: int = 2) -> str:
    """What is said of a file of these lines."""
    path = folder / "a.jsonl"
    path.write_text("".join(lines))
    result = judge(path)
    assert result.exit_code == status, result.output
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    return words(result.stderr).replace(f"{folder}/", "")


def edited(line: str, **values: Any) -> str:
    """A line with other values; a key with "__" reaches into the first entry of a list."""
    data = json.loads(line)
    for key, value in values.items():
        outer, _, inner = key.partition("__")
        if inner:
            data[outer][0][inner] = value
        else:
            data[key] = value
    return json.dumps(data) + "\n"


def test_garbage_is_refused_with_its_line(short: list[str], tmp_path: Path) -> None:
    """Text, JSON of another kind, wrong types, numbers out of range, keys too many, runs that nothing opens."""
    second = short[1]
    for wrong in (
        "step 1 loss 3.2\n",
        "[1, 2]\n",
        '{"loss": 3}\n',
        "\x00\xff\n",
        edited(second, layers="all"),
        edited(second, layers__change=-1),
        edited(second, layers__change="large"),
        edited(second, parameters__fan_in=0),
        edited(second, more=1),
        edited(second, run="another"),
        edited(second, step=7),
        second + second,
    ):
        said = refused([short[0], wrong, *short[2:]], tmp_path)
        assert "every line must be one that `hptransfer.watch` writes" in said
        assert "a.jsonl:3" in said if wrong == second + second else "a.jsonl:2" in said
    assert "must have format 1" in refused([edited(short[0], format=2), *short[1:]], tmp_path)


def test_names_cannot_steer_a_terminal(short: list[str], tmp_path: Path) -> None:
    """What comes from a file is printed without control characters."""
    (tmp_path / "a.jsonl").write_text("".join(short).replace('"fc1"', '"fc1\\u001b[2J\\u202e"'))
    (tmp_path / "a.csv").write_text(table().replace("lm_head", "lm_head\x1b[2J"))

    for name in ("a.jsonl", "a.csv"):
        result = judge(tmp_path / name)
        assert "[2J" in result.stdout
        assert not {"\x1b", "\u202e"} & {*result.stdout, *result.stderr}


def test_a_killed_run_is_left_out(short: list[str], tmp_path: Path) -> None:
    """Its last line breaks off: two of three seeds are left at that width, and are judged."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(short)[:-200])
    result = judge(path)
    said = words(result.stderr).replace(f"{tmp_path}/", "")

    assert f"a.jsonl:{len(short)}: the line breaks off, as a killed run leaves it" in said
    assert "left out: the run of width 16, seed 2, was measured after 1 of its steps, and ended" in said
    assert "left out: seed 2, which not every width has" in said
    assert "2 seeds)" in words(result.stdout)


def test_a_run_that_is_made_again_replaces_the_killed_one(short: list[str], tmp_path: Path) -> None:
    """`watch` begins on a line of its own behind what a killed run has left."""
    path = tmp_path / "a.jsonl"
    path.write_text("".join(short)[:-200])
    watched.watched(path, "standard", (16,), (2,), count=2, steps=(1, 2))
    runs, notes = read_runs([path])

    assert len(runs) == 6
    assert len(notes) == 2  # the line that breaks off, and the run that it was of
    assert "3 seeds)" in words(judge(path).stdout)


def test_the_last_of_equal_runs_counts(short: list[str], tmp_path: Path) -> None:
    """The same size and seed again: that is said with both places."""
    again = [line.replace(json.loads(short[0])["run"], "again") for line in short[:3]]
    (tmp_path / "a.jsonl").write_text("".join([*short, *again]))
    runs, notes = read_runs([tmp_path / "a.jsonl"])

    assert [run.opening.run for run in runs if run.opening.size == {"width": 8} and run.opening.seed == 0] == ["again"]
    assert f"a.jsonl:1: left out: the run of width 8, seed 0, is there again at {tmp_path}/a.jsonl:19" in notes[0]


def test_mixed_runs_are_refused(short: list[str], tmp_path: Path) -> None:
    """Another model, another optimizer, with and without a probe, other parameters, other steps: with both places."""
    opening, first, second = short[3], short[4], short[5]

    def mixed(*lines: str) -> str:
        return refused([*short[:3], *lines, *short[6:]], tmp_path)

    assert "must have one model received: Mlp at a.jsonl:1, Resnet at a.jsonl:4" in mixed(
        edited(opening, model="Resnet"), first, second
    )
    assert "must have one optimizer" in mixed(edited(opening, optimizer="SGD"), first, second)
    assert "must have one probe" in mixed(edited(opening, probe=False), first, second)
    other = [edited(line, parameters__name="stem.weight") for line in (first, second)]
    assert "must have one set of parameters received:" in mixed(opening, *other)
    later = [edited(opening, steps=[4, 5]), edited(first, step=4), edited(second, step=5)]
    assert "must be measured after the same steps received: [1, 2] at a.jsonl:1, [4, 5] at a.jsonl:4" in mixed(*later)


def test_steps_that_not_every_run_has_are_left_out(short: list[str], tmp_path: Path) -> None:
    """And said."""
    (tmp_path / "a.jsonl").write_text("".join([edited(short[0], steps=[1]), short[1], *short[3:]]))

    assert "left out: steps 2, which not every run has measured" in words(judge(tmp_path / "a.jsonl").stderr)


def test_too_few_sizes_or_seeds_are_inconclusive(short: list[str], tmp_path: Path) -> None:
    """Exit status 3, with what is there and what would be enough."""
    one_width = refused(short[:9], tmp_path, status=3)
    one_seed = refused([*short[:3], *short[9:12]], tmp_path, status=3)
    none = refused(short[:1], tmp_path, status=3)

    assert "at least two widths, or two depths, with all else alike received: 3 runs of width 8" in one_width
    assert "four widths over a factor of 8 or more and three seeds" in one_width
    assert "at least two seeds that every width has received: width 8: seed 0; width 16: seed 0" in one_seed
    assert "watch runs with seeds 0, 1 and 2 at widths 8, 16" in one_seed
    assert "needs complete runs received: 1 begun" in none


def test_what_is_not_finite_is_named_with_its_line_and_fails(short: list[str], tmp_path: Path) -> None:
    """A run that blew up has no power of width."""
    (tmp_path / "a.jsonl").write_text("".join([short[0], edited(short[1], layers__change=None), *short[2:]]))
    result = judge(tmp_path / "a.jsonl")

    assert "a.jsonl:2: not finite at width 8 after step 1: fc1" in words(result.stderr)
    assert result.exit_code == 1


def test_each_axis_is_judged_at_one_size_of_the_other(short: list[str], tmp_path: Path) -> None:
    """Width at depth 2, depth at width 8; what lies beside them is said."""

    def at(width: int, depth: int) -> list[str]:
        lines = short[:9] if width == 8 else short[9:]
        runs = {json.loads(line)["run"] for line in lines}
        text = "".join(
            edited(line, size={"width": width, "depth": depth}) if "size" in line else line for line in lines
        )
        for run in runs:
            text = text.replace(run, f"{run[:8]}-{depth}")
        return text.splitlines(keepends=True)

    (tmp_path / "a.jsonl").write_text("".join([*at(8, 2), *at(16, 2), *at(8, 4)]))
    judgement = judge_coordinate_files([tmp_path / "a.jsonl"])

    assert [(report.axis, report.sizes) for report in judgement.reports] == [("width", (8, 16)), ("depth", (2, 4))]
    assert "width: judged at depth 2; 3 runs of other sizes are not compared along it" in judgement.notes
    assert "depth: judged at width 8; 3 runs of other sizes are not compared along it" in judgement.notes


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Of any kind; and tables are judged one at a time."""
    assert judge(tmp_path / "a.jsonl").exit_code == 2
    assert judge(tmp_path / "a.csv").exit_code == 2
    (tmp_path / "a.csv").write_text(table())
    assert "a table of coordinates is judged by itself" in judge(tmp_path / "a.csv", tmp_path / "b.csv").stderr


def test_the_two_questions_of_judge_are_kept_apart(short: list[str], tmp_path: Path) -> None:
    """Options of the one are refused by the other; a coordinate check given as a table is recognised."""
    (tmp_path / "a.jsonl").write_text("".join(short))
    (tmp_path / "a.csv").write_text(table())

    def plain(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["judge", *arguments])
        assert result.exit_code == 2
        return words(result.stderr)

    assert "takes no options but" in plain("--coordinates", str(tmp_path / "a.jsonl"), "--target", "512")
    assert "must have a row per run" in plain(str(tmp_path / "a.csv"), str(tmp_path / "a.jsonl"))
    assert "--tolerance with --coordinates alone" in plain(str(tmp_path / "a.csv"), "--tolerance", "0.2")
    for name in ("a.csv", "a.jsonl"):
        assert f"hint: hptransfer judge --coordinates {tmp_path}/{name}" in plain(str(tmp_path / name))
