"""`export` writes a target for frameworks, `verify --export` compares what they make of it with the plan."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hptransfer.cli.app import app
from hptransfer.export.base import export_target
from hptransfer.sizes import Size
from tests.support.checked_folder import Folder
from tests.support.exported import llama_target


def run(*words: object) -> Result:
    """Runs hptransfer."""
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target.yaml of a Llama three times as wide as its base."""
    path = tmp_path / "target.yaml"
    path.write_text(export_target("hptransfer", llama_target("mup", size=Size(192, 2, 8, 8192)))["target.yaml"])
    return path


def test_a_target_that_was_written_is_exported_and_verified(target: Path) -> None:
    """Without the recipe: the files, then that torch trains what was planned."""
    wrote = run("export", target, "--format", "torch,hptransfer")
    found = run("verify", "--export", target.parent / "export" / "torch" / "groups.json")

    assert wrote.exit_code == 0, wrote.output
    assert wrote.stdout.count("\n") == 2
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("AS PLANNED: ")
    assert "21 parameters, no difference" in found.stdout
    assert "read back through torch" in found.stdout


def test_scale_writes_what_export_writes(tmp_path: Path) -> None:
    """`scale --format` and `export` of its target give the same bytes."""
    folder = Folder(tmp_path)
    scaled = run("scale", folder.recipe, "--runs", folder.runs, "--format", "torch")
    again = run("export", folder.target, "--format", "torch", "--output", tmp_path / "again")
    first, second = folder.target.parent / "export" / "torch", tmp_path / "again" / "torch"

    assert scaled.exit_code == 0, scaled.output
    assert again.exit_code == 0, again.output
    for name in ("groups.json", "hptransfer_groups.py"):
        assert (first / name).read_text() == (second / name).read_text()
    assert run("verify", "--export", second).exit_code == 0


def test_a_rate_that_was_scaled_by_hand_is_named(target: Path) -> None:
    """Exit status 1, the parameters, both values and the cause; the file is said to have been edited."""
    run("export", target, "--format", "torch")
    groups = target.parent / "export" / "torch" / "groups.json"
    groups.write_text(groups.read_text().replace('"lr": 0.003333333333333333', '"lr": 0.001111111111111111'))
    found = run("verify", "--export", groups)

    assert found.exit_code == 1
    assert found.stdout.startswith("DIFFERS: ")
    assert re.search(
        r"model\.layers\.\*\.self_attn\.q_proj\.weight: learning_rate 0\.0011+, planned 0\.003+", found.stdout
    )
    assert "scaled twice, by 0.3333 each time" in found.stdout
    assert "edited since it was written: groups.json" in found.stdout


def test_the_comparison_as_json(target: Path) -> None:
    """Every difference with its numbers, for programs."""
    run("export", target, "--format", "torch")
    groups = target.parent / "export" / "torch" / "groups.json"
    groups.write_text(groups.read_text().replace('"weight_decay": 0.1', '"weight_decay": 0.0'))
    document = json.loads(run("verify", "--export", groups, "--json").stdout)

    assert document["holds"] is False
    assert {each["quantity"] for each in document["differences"]} == {"weight_decay"}
    assert document["changed"] == ["groups.json"]


def test_a_folder_that_was_moved_names_its_plan(target: Path, tmp_path: Path) -> None:
    """Away from the target's file it must be named; then it is compared."""
    run("export", target, "--format", "torch")
    moved = tmp_path / "quite" / "elsewhere" / "and" / "torch"
    moved.parent.mkdir(parents=True)
    shutil.move(target.parent / "export" / "torch", moved)

    refused = run("verify", "--export", moved)
    assert refused.exit_code == 2
    assert "--plan target.yaml" in refused.stderr
    assert run("verify", "--export", moved, "--plan", target).exit_code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verify"], "takes a recipe and the loss"),
        (["verify", "tiny.yaml"], "takes a recipe and the loss"),
        (["verify", "tiny.yaml", "1.0", "--plan", "target.yaml"], "--plan"),
        (["verify", "tiny.yaml", "--export", "nowhere"], "verified alone"),
        (["verify", "--export", "nowhere"], "no nowhere"),
        (["verify", "--export", "."], "export.json"),
        (["export", "nowhere.yaml", "--format", "torch"], "nowhere.yaml"),
    ],
)
def test_what_cannot_be_run_is_said(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2 and the rule; no traceback."""
    monkeypatch.chdir(tmp_path)
    result = run(*words)

    assert result.exit_code == 2, result.output
    assert said in result.stderr


def test_an_unknown_format_writes_nothing(target: Path) -> None:
    """All formats are asked before any file is written."""
    result = run("export", target, "--format", "torch,torhc")

    assert result.exit_code == 2
    assert not (target.parent / "export").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": "hptransfer-export/1", "exporter": "torch", "plan": "x", "files": {"/dev/zero": "0"}}',
        '{"format": "other/9", "exporter": "torch", "plan": "x", "files": {}}',
        "\udcff",
        "[" * 100_000,
        '{"format": "hptransfer-export/1", "exporter": "torch", "plan": "\\u0000", "files": {}}',
    ],
    ids=lambda text: text[:12].encode("ascii", "replace").decode() or "empty",
)
def test_a_damaged_list_of_files_is_said(text: str, target: Path) -> None:
    """export.json that is empty, of another kind or no UTF-8."""
    run("export", target, "--format", "torch")
    folder = target.parent / "export" / "torch"
    (folder / "export.json").write_bytes(text.encode(errors="surrogateescape"))
    result = run("verify", "--export", folder)

    assert result.exit_code == 2, result.output
    assert "export.json must be as" in result.stderr


@pytest.mark.parametrize(
    "text", ["import nothing_of_this_name\n", "def init_(model):\n    pass\n", "syntax error here\n"]
)
def test_a_module_that_was_broken_is_said(text: str, target: Path) -> None:
    """A file that cannot be imported, or lacks a function: the place, no traceback."""
    run("export", target, "--format", "torch")
    module = target.parent / "export" / "torch" / "hptransfer_groups.py"
    module.write_text(text)
    result = run("verify", "--export", module)

    assert result.exit_code == 2, result.output
    assert "hptransfer_groups.py" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["export.json", "groups.json", "hptransfer_groups.py", "target.yaml", "other"])
@pytest.mark.parametrize("kind", ["pipe", "device", "large"])
def test_what_never_ends_is_not_read(name: str, kind: str, target: Path) -> None:
    """A pipe without a writer, a link to /dev/zero and a file of 5 MiB in place of one that is read: no hang."""
    run("export", target, "--format", "torch")
    place = target if name == "target.yaml" else target.parent / "export" / "torch" / name
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    elif name in ("target.yaml", "other"):
        pytest.skip("a person's own file may be as large as it is")
    else:
        place.write_bytes(b"#" * (5 << 20))
    result = run("verify", "--export", target.parent / "export" / "torch")

    assert result.exit_code == 2, result.output
    assert name in result.stderr


@pytest.mark.parametrize(
    "at", ["at import", "in a call", "in the schedule", "at once", "at once, in a call", "another program"]
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_module_that_ends_the_program_is_no_success(at: str, options: tuple[str, ...], target: Path) -> None:
    """`raise SystemExit(0)` or `os._exit(0)` in an exported file: exit status 2 and the file's name, never silence."""
    run("export", target, "--format", "torch")
    module = target.parent / "export" / "torch" / "hptransfer_groups.py"
    text = {
        "at import": "raise SystemExit(0)\n",
        "in a call": "def init_(model):\n    raise SystemExit(0)\n",
        "in the schedule": "def factor(step):\n    raise SystemExit(0)\n",
        "at once": "import os\nos._exit(0)\n",
        "at once, in a call": "import posix\ndef init_(model):\n    posix._exit(0)\n",
        "another program": "import os\ndef factor(step):\n    os.execl('/bin/true', 'true')\n",
    }[at]
    module.write_text(module.read_text() + text)
    result = run("verify", "--export", module, *options)

    assert result.exit_code == 2, result.output
    assert "SystemExit" in result.stderr


#: a script of a user's own, which has its plan written for its framework before it trains
PROXY = """\
import importlib.util, os, subprocess, sys
import torch
from hptransfer.models.huggingface import build_huggingface
from hptransfer.recipe.model_sections import HuggingFaceModel

plan, folder = os.environ["HPTRANSFER_PLAN_FILE"], os.environ["HPTRANSFER_TRIAL_DIR"]
export = [sys.executable, "-m", "hptransfer", "export", plan, "--format", "torch", "--output", folder]
subprocess.run(export, check=True)
spec = importlib.util.spec_from_file_location("groups", os.path.join(folder, "torch", "hptransfer_groups.py"))
groups = importlib.util.module_from_spec(spec)
spec.loader.exec_module(groups)
torch.manual_seed(int(os.environ["HPTRANSFER_SEED"]))
settings = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
            "num_hidden_layers": 2, "vocab_size": 64, "max_position_embeddings": 16, "tie_word_embeddings": False}
section = HuggingFaceModel(kind="huggingface", config="llama", settings=settings)
model = build_huggingface(section, int(os.environ["HPTRANSFER_WIDTH"]), 2)
groups.init_(model)
optimizer = groups.optimizer(model)
for step in range(3):
    tokens = torch.randint(64, (2, 8))
    loss = model(input_ids=tokens, labels=tokens).loss
    optimizer.zero_grad(); loss.backward(); optimizer.step()
print("rates", sorted({group["lr"] for group in optimizer.param_groups}))
print("val loss", loss.item())
"""
RUN_RECIPE = """\
name: proxy
model:
  kind: huggingface
  config: llama
  settings: {hidden_size: 32, intermediate_size: 64, num_attention_heads: 4, num_key_value_heads: 4,
             num_hidden_layers: 2, vocab_size: 64, max_position_embeddings: 16, tie_word_embeddings: false}
  context: 8
data: {kind: external, version: "1", predictions_per_example: 8}
trainer:
  command: ["{python}", proxy.py]
  accepts: [plan, width, seed]
  results: {stdout: 'val loss (?P<value>\\S+)'}
objective: {name: loss, unit: nats, evaluation: random tokens}
training: {steps: 3, batch_size: 2, learning_rate: 0.01}
parameterization: {name: mup}
sizes:
  base: {width: 32, depth: 2}
  proxy: {width: 64, depth: 2}
  widths: [32, 64]
  target: {width: 128, depth: 2}
tune:
  trials: 1
  confirm_seeds: 1
  space:
    learning_rate: {low: 1.0e-3, high: 1.0e-1}
"""


def test_a_proxy_is_trained_by_the_files_that_the_target_gets(tmp_path: Path) -> None:
    """The command has its plan.json exported at its own size, and trains by that; the plan says it was not checked."""
    (tmp_path / "proxy.py").write_text(PROXY)
    (tmp_path / "recipe.yaml").write_text(RUN_RECIPE)
    result = run("tune", tmp_path / "recipe.yaml", "--runs", tmp_path / "runs", "--workers", 1)

    assert result.exit_code == 0, result.output
    folder = next((tmp_path / "runs" / "proxy" / "logs").iterdir())
    text = (folder / "torch" / "hptransfer_groups.py").read_text()
    assert "Verdict: NOT CHECKED. the plan of one run of a search or of a check" in text
    assert "put it here, as a share of the peak" in text  # the schedule is the program's own
    assert json.loads((folder / "plan.json").read_text())["searched"] == ["learning_rate"]
    found = run("verify", "--export", folder / "torch")
    assert found.exit_code == 0, found.output
    assert "21 parameters, no difference" in found.stdout


def test_an_older_exports_files_are_removed_unless_edited(target: Path) -> None:
    """What export.json of before names and is not written now: removed, an edited one kept and said."""
    folder = target.parent / "export" / "torch"
    run("export", target, "--format", "torch")
    listed = json.loads((folder / "export.json").read_text())
    outside = target.parent / "mine.py"
    for place in (folder / "old.py", folder / "edited.py", outside):
        place.write_text("old\n")
    digest = hashlib.sha256(b"old\n").hexdigest()
    (folder / "link.py").symlink_to(outside)
    listed["files"] |= {"old.py": digest, "link.py": digest, "edited.py": "0" * 64}
    (folder / "export.json").write_text(json.dumps(listed))
    result = run("export", target, "--format", "torch")

    assert result.exit_code == 0, result.output
    assert not (folder / "old.py").exists()
    assert (folder / "edited.py").exists()
    assert outside.exists()
    assert "edited.py is of an earlier export" in result.stderr


def test_all_formats_are_written_or_none(target: Path, tmp_path: Path) -> None:
    """The second format's folder is a file: the first is not written, and the way out is this command's."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "yaml").write_text("a file\n")
    result = run("export", target, "--format", "torch,yaml", "--output", tmp_path / "out")

    assert result.exit_code == 2
    assert "choose another place with --output" in result.stderr
    assert not (tmp_path / "out" / "torch" / "groups.json").exists()


def test_a_plan_that_changed_since_is_said(target: Path) -> None:
    """Written again at another rate after the export: the difference, and where it comes from."""
    run("export", target, "--format", "torch")
    changed = llama_target("mup", size=Size(192, 2, 8, 8192), learning_rate=0.02)
    target.write_text(export_target("hptransfer", changed)["target.yaml"])
    result = run("verify", "--export", target.parent / "export" / "torch")

    assert result.exit_code == 1
    assert "target.yaml has changed since this was exported, or is another target's file" in result.stdout


def test_one_difference_is_one(target: Path) -> None:
    """Grammar of the first line."""
    run("export", target, "--format", "torch")
    module = target.parent / "export" / "torch" / "hptransfer_groups.py"
    module.write_text(module.read_text().replace("betas=(0.9, 0.95)", "betas=(0.9, 0.999)"))

    assert "parameters, 1 value differs" in run("verify", "--export", module).stdout


def test_a_copied_folder_is_compared_with_the_plan_that_is_named(target: Path, tmp_path: Path) -> None:
    """Without export.json the first lines say the format; without --plan the way out is said."""
    run("export", target, "--format", "torch,yaml")
    for name, file in (("torch", "hptransfer_groups.py"), ("yaml", "plan.yaml")):
        copied = tmp_path / "copied" / name
        shutil.copytree(target.parent / "export" / name, copied)
        (copied / "export.json").unlink()

        for place in (copied, copied / file):
            assert run("verify", "--export", place, "--plan", target).exit_code == 0
        assert "--plan" in run("verify", "--export", copied).stderr


def test_a_renamed_file_is_said(target: Path) -> None:
    """It is not another file of the folder that is compared."""
    run("export", target, "--format", "torch")
    folder = target.parent / "export" / "torch"
    (folder / "mine.py").write_text((folder / "hptransfer_groups.py").read_text())
    result = run("verify", "--export", folder / "mine.py")

    assert result.exit_code == 2
    assert "it was called hptransfer_groups.py" in result.stderr


def test_a_recipe_is_no_target(tmp_path: Path) -> None:
    """The message says what it is, and which command makes the target."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RUN_RECIPE)
    result = run("export", recipe, "--format", "torch")

    assert result.exit_code == 2
    assert "recipe.yaml: a recipe" in result.stderr
    assert "hptransfer scale" in result.stderr


@pytest.mark.parametrize(("typed", "meant"), [("hf", "huggingface"), ("pytorch", "torch"), ("OLMo", "olmo-core")])
def test_another_name_of_a_framework_is_understood(typed: str, meant: str, target: Path) -> None:
    """What people call it leads to the format."""
    assert f"did you mean `{meant}`?" in run("export", target, "--format", typed).stderr


@pytest.mark.parametrize(
    ("command", "kind"),
    [("scale", "edited"), *(("export", kind) for kind in ("edited", "own", "link", "no list", "damaged list"))],
)
def test_what_is_not_an_exports_own_is_not_replaced(command: str, kind: str, tmp_path: Path) -> None:
    """A file that was edited, that a person put there, or a link: named, kept, and replaced by --overwrite alone."""
    written = Folder(tmp_path)
    words: tuple[object, ...] = ("scale", written.recipe, "--runs", written.runs, "--format", "torch,yaml")
    assert run(*words).exit_code == 0
    if command == "export":
        words = ("export", written.target, "--format", "torch,yaml")
    folder = written.target.parent / "export" / "torch"
    module, listed = folder / "hptransfer_groups.py", folder / "export.json"
    assert run(*words).exit_code == 0, "what is as it was written needs nothing"
    before = written.target.read_bytes(), (folder.parent / "yaml" / "export.json").stat().st_mtime_ns
    if kind in ("edited", "link"):
        module.write_text(module.read_text() + "# mine\n")
    if kind == "link":
        module.rename(tmp_path / "mine.py")
        module.symlink_to(tmp_path / "mine.py")
    elif kind == "own":
        content = json.loads(listed.read_text())
        del content["files"]["hptransfer_groups.py"]
        listed.write_text(json.dumps(content))
        module.write_text("mine\n")
    elif kind == "no list":
        listed.unlink()
        module.write_text("mine\n")
    elif kind == "damaged list":
        listed.write_text("{}")
    kept = module.read_text()
    refused = run(*words)

    assert refused.exit_code == 2, refused.output
    said = {"edited": "was edited since it was written", "link": "is a link", "damaged list": "is not as"}
    assert f"{listed if kind == 'damaged list' else module} {said.get(kind, 'is of no export')}" in flat(refused)
    assert "nothing was written: move them away, choose another folder, or replace them by --overwrite" in flat(refused)
    assert module.read_text() == kept
    assert module.is_symlink() == (kind == "link")
    assert before == (written.target.read_bytes(), (folder.parent / "yaml" / "export.json").stat().st_mtime_ns)
    assert run(*words, "--overwrite").exit_code == 0
    assert "# mine" not in module.read_text()
    assert not module.is_symlink()
    assert kind != "link" or (tmp_path / "mine.py").read_text() == kept
    assert run(*words).exit_code == 0


def flat(result: Result) -> str:
    """What was said on stderr, in one line."""
    return " ".join(result.stderr.split())


def filled_disk(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Lets so many files be written and no more."""
    left = iter(range(room))

    def synced(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode) and next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hptransfer.files.os.fsync", synced)


@pytest.mark.parametrize("room", range(5))
def test_a_disk_that_is_full_leaves_all_as_it_was(room: int, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in the files of two formats room ends: nothing new is there, and that is said."""
    run("export", target, "--format", "torch")
    folder = target.parent / "export"
    changed = llama_target("mup", size=Size(192, 2, 8, 8192), learning_rate=0.02)
    target.write_text(export_target("hptransfer", changed)["target.yaml"])
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    filled_disk(monkeypatch, room)
    result = run("export", target, "--format", "torch,yaml")

    assert result.exit_code == 4, result.output
    assert "nothing was written: free some space and run the same command again" in flat(result)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not (folder / "yaml").exists()


def killed(target: Path, monkeypatch: pytest.MonkeyPatch, moved: int) -> None:
    """An export that ends, as by `kill -9`, after so many files have their place; nothing of it tidies up."""
    replace, unlink = os.replace, Path.unlink
    left = iter(range(moved))

    def replaced(source: Path, place: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        replace(source, place)

    ended = subprocess.Popen(["true"])
    ended.wait()
    with monkeypatch.context() as patch:
        patch.setattr("hptransfer.files.os.replace", replaced)
        patch.setattr("hptransfer.files.os.getpid", lambda: ended.pid)
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None if ".tmp" in path.name else unlink(path))
        run("export", target, "--format", "torch,yaml")


@pytest.mark.parametrize("moved", range(5))
def test_an_export_goes_on_where_one_was_killed(moved: int, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an older plan's, of a killed and of a third export's files none is taken for a person's; no rest stays."""
    run("export", target, "--format", "torch,yaml")
    for rate in (0.02, 0.03):
        changed = llama_target("mup", size=Size(192, 2, 8, 8192), learning_rate=rate)
        target.write_text(export_target("hptransfer", changed)["target.yaml"])
        if rate == 0.02:
            killed(target, monkeypatch, moved)
    folder = target.parent / "export"
    assert any(path.suffix == ".tmp" for path in folder.rglob(".*"))
    mine, runs = folder / "torch" / ".mine.7.tmp", folder / "torch" / f".groups.json.{os.getppid()}.tmp"
    for path in (mine, runs):
        path.write_text("mine\n")
    result = run("export", target, "--format", "torch,yaml")

    assert result.exit_code == 0, result.output
    assert sorted(path for path in folder.rglob("*") if path.suffix == ".tmp") == sorted((mine, runs))
    assert run("verify", "--export", folder / "torch").exit_code == 0
    assert run("verify", "--export", folder / "yaml").exit_code == 0


def test_lines_that_end_as_on_windows_are_said(target: Path) -> None:
    """Bash takes the carriage return for a part of the last word; the file, the line and CRLF are named."""
    run("export", target, "--format", "megatron")
    script = target.parent / "export" / "megatron" / "megatron_args.sh"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    result = run("verify", "--export", script)

    assert result.exit_code == 2, result.output
    assert f"{script}:1: " in flat(result)
    assert "line 1 ends with CRLF" in flat(result)


@pytest.mark.parametrize(("name", "file"), [("yaml", "plan.yaml"), ("automodel", "automodel.yaml")])
def test_a_key_that_is_there_twice_is_refused(name: str, file: str, target: Path) -> None:
    """The file behind itself: readers of YAML keep the last of each key, and what the first said would be lost."""
    run("export", target, "--format", name)
    place = target.parent / "export" / name / file
    place.write_text(place.read_text() * 2)
    result = run("verify", "--export", place)

    assert result.exit_code == 2, result.output
    assert re.search(r"the key `\w+` is in line \d+ already", flat(result))
