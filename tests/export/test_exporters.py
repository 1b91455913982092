"""Every exporter passes the suite for users' exporters, and one from elsewhere is used end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hptransfer.artifacts.target import TargetFile
from hptransfer.cli.app import app
from hptransfer.errors import UsageError
from hptransfer.export.base import EXPORTERS, document, export_target
from hptransfer.scaling.groups import in_gauge
from hptransfer.testing.exporters import ExporterConformance
from tests.plugin.hptransfer_lab.exporter import EXPORTER
from tests.support.checked_folder import Folder
from tests.support.exported import BASE, llama_target
from tests.support.plugins import install
from tests.support.switched import switched_target
from tests.support.targets import GPT, planned, target_of

PAGE = Path(__file__).parents[2] / "docs/export.md"


class TestHptransfer(ExporterConformance):
    """The exporter of target.yaml."""

    name = "hptransfer"


class TestNanogptMup(ExporterConformance):
    """The exporter of base values for nanoGPT-mup."""

    name = "nanogpt-mup"

    def target(self) -> TargetFile:
        """Of a program that applies the rules by itself: the suite's parameters are no nanoGPT's."""
        small = super().target()
        assert small.training is not None
        own = small.training.model_copy(update={"schedule": "own", "warmup": None, "clip": None})
        searched = small.provenance.model_copy(update={"intervals": {"learning_rate": (None, None)}})
        return small.model_copy(update={"parameters": (), "training": own, "provenance": searched})


class TestTorch(ExporterConformance):
    """The exporter of groups for plain PyTorch."""

    name = "torch"


class TestTorchtitan(ExporterConformance):
    """The exporter of a config registry for torchtitan."""

    name = "torchtitan"

    def target(self) -> TargetFile:
        """A Llama: it is what torchtitan trains."""
        return llama_target()


class TestYaml(ExporterConformance):
    """The exporter of a plan for any framework."""

    name = "yaml"


class TestAutomodel(ExporterConformance):
    """The exporter of sections for NeMo Automodel."""

    name = "automodel"


class TestDeepSpeed(ExporterConformance):
    """The exporter of a configuration for DeepSpeed."""

    name = "deepspeed"


class TestLightning(ExporterConformance):
    """The exporter of a module for Lightning."""

    name = "lightning"


class TestBsh(ExporterConformance):
    """The exporter of base shapes for mup."""

    name = "bsh"


class TestHuggingFace(ExporterConformance):
    """The exporter of files for transformers."""

    name = "huggingface"


class TestOlmoCore(ExporterConformance):
    """The exporter for OLMo-core, which needs a model of a known family."""

    name = "olmo-core"

    def target(self) -> TargetFile:
        """A Llama's."""
        return llama_target()


class TestLmEngine(ExporterConformance):
    """The exporter for lm-engine."""

    name = "lm-engine"

    def target(self) -> TargetFile:
        """In the options that lm-engine has."""
        return in_gauge(switched_target(size=BASE), None, "multipliers")


class TestCerebras(ExporterConformance):
    """The exporter for Cerebras modelzoo."""

    name = "cerebras"

    def target(self) -> TargetFile:
        """In the options that modelzoo has."""
        return in_gauge(switched_target(size=BASE), None, "multipliers")


class TestLevanter(ExporterConformance):
    """The exporter for levanter."""

    name = "levanter"

    def target(self) -> TargetFile:
        """One rate for all."""
        return switched_target("standard")


class TestMegatron(ExporterConformance):
    """The exporter of arguments for Megatron-LM."""

    name = "megatron"

    def target(self) -> TargetFile:
        """A Llama, for Megatron-LM has one model."""
        return in_gauge(llama_target("mup", size=BASE), None, "multipliers")


class TestOwn(ExporterConformance):
    """An exporter from outside the package."""

    name = "tests.plugin.hptransfer_lab.exporter:EXPORTER"


def test_every_exporter_is_under_the_suite() -> None:
    """A new file needs its class above."""
    classes = (each for each in globals().values() if isinstance(each, type) and each is not ExporterConformance)
    under = {each.name for each in classes if issubclass(each, ExporterConformance)}

    assert set(EXPORTERS.built_in) <= under


def test_the_page_of_exporters_is_generated() -> None:
    """docs/export.md equals what the exporters say now."""
    assert PAGE.read_text(encoding="utf-8") == document()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A checked recipe: a decoder under completep."""
    return Folder(tmp_path)


def scale(folder: Folder, *options: str) -> Result:
    """Runs `scale` on it."""
    return CliRunner().invoke(app, ["scale", str(folder.recipe), "--runs", str(folder.runs), *options])


def test_the_exporter_of_the_page_runs_as_it_stands(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who copies the example gets a file with every group's values."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    first = lines.index("    import json")
    last = lines.index("    EXPORTER = Groups()")
    (tmp_path / "page_export.py").write_text("\n".join(line[4:] for line in lines[first : last + 1]) + "\n")
    monkeypatch.syspath_prepend(tmp_path)

    result = scale(folder, "--format", "page_export:EXPORTER")
    assert result.exit_code == 0, result.output
    (written,) = (folder.runs / "tiny" / "export").rglob("groups.json")
    groups = json.loads(written.read_text())["groups"]
    assert {pattern: values["learning_rate"] for pattern, values in groups.items()} == {
        row["pattern"]: row["learning_rate"] for row in folder.document()["parameters"]
    }


def test_a_users_exporter_writes_beside_the_target(folder: Folder) -> None:
    """`--format module:attribute`: its file, planned in its gauge, and a line that says what the framework scales."""
    name = "tests.plugin.hptransfer_lab.exporter:EXPORTER"
    result = scale(folder, "--format", f"hptransfer,{name}")
    own = folder.runs / "tiny" / "export" / "tests.plugin.hptransfer_lab.exporter-EXPORTER" / "conf" / "run.json"
    content = json.loads(own.read_text())
    target = folder.document()

    assert result.exit_code == 0, result.output
    assert content["gauge"] == "multipliers"
    # Table 8 of Tensor Programs V: the readout's multiplier is 1 / m_in, here 16 / 64
    assert content["multipliers"][r"readout\.weight"] == 0.25
    assert content["learning_rate"] == target["hyperparameters"]["learning_rate"]
    assert f"{own}: for {name}, which itself scales learning_rate" in result.stdout
    same = folder.runs / "tiny" / "export" / "hptransfer" / "target.yaml"
    assert same.read_text() == folder.target.read_text()


def test_an_installed_exporter_has_a_name(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's entry point is used as a built-in one is."""
    source = "from tests.plugin.hptransfer_lab.exporter import EXPORTER\n"
    install(monkeypatch, tmp_path, "lab_export", source, {"hptransfer.exporters": {"lab": "lab_export:EXPORTER"}})

    assert "lab" in EXPORTERS.names
    assert scale(folder, "--format", "lab").exit_code == 0
    assert (folder.runs / "tiny" / "export" / "lab" / "conf" / "run.json").exists()


def test_an_unknown_format_writes_nothing(folder: Folder) -> None:
    """The message lists what there is, with the nearest name."""
    result = scale(folder, "--format", "hptransfr")

    assert result.exit_code == 2
    assert f"the exporter must be one of {', '.join(EXPORTERS.names)}" in result.stderr
    assert "did you mean `hptransfer`?" in result.stderr
    assert not folder.target.exists()


def test_what_a_format_cannot_hold_writes_nothing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Init stds differ between the decoder's groups; a format with one for all is refused, the quantity named."""
    monkeypatch.setattr(EXPORTER, "holds", frozenset())
    result = scale(folder, "--format", "tests.plugin.hptransfer_lab.exporter:EXPORTER")

    assert result.exit_code == 2
    assert "must be able to express `init_std` of each group of parameters" in result.stderr
    assert not folder.target.exists()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"../escaped.json": "x"}, "inside its own folder"),
        ({"/etc/run.json": "x"}, "inside its own folder"),
        ({}, "at least one file"),
        (None, "must write every target"),
        ({"a\0b": "x"}, "inside its own folder"),
        ({5: "x"}, "must return texts"),
        ({"a": 5}, "must return texts"),
        ({"a": "\ud800"}, "must return texts"),
        ({"a": "x", "a/b": "x"}, "a path of its own"),
        ({"a/b": "x", "a": "x"}, "a path of its own"),
        ({"a": "x", "./a": "x"}, "a path of its own"),
    ],
)
def test_an_exporter_that_misbehaves_is_named(
    monkeypatch: pytest.MonkeyPatch, files: dict[Any, Any] | None, said: str
) -> None:
    """Paths outside its folder, no file, or an exception of its own are usage errors."""
    monkeypatch.setattr(type(EXPORTER), "export", lambda self, target: files)

    with pytest.raises(UsageError, match=said) as caught:
        export_target("tests.plugin.hptransfer_lab.exporter:EXPORTER", target_of(planned(GPT)))
    assert "hptransfer_lab.exporter" in str(caught.value.findings[0].received)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("EXPORTER = 5", "type int without `gauge`"),
        ("EXPORTER = None", "type NoneType without `gauge`"),
        ("def EXPORTER(): pass", "type function without `gauge`"),
        ("class EXPORTER: pass", "a class; name an object of it"),
        ("EXPORTER = Own()\nEXPORTER.holds = 5", "holds 5, which is no set"),
        ("EXPORTER = Own()\nEXPORTER.gauge = 'odd'", "gauge 'odd', which is none of plain"),
        ("EXPORTER = Own()\nEXPORTER.export = 5", "an `export` that cannot be called"),
        ("import sys; sys.exit()", "SystemExit"),
        ("EXPORTER = Own()", "SystemExit"),
    ],
)
def test_what_is_no_exporter_writes_nothing(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    """An object of another kind, and `sys.exit()` at import or in `export`: exit status 2 and what is wrong."""
    own = "class Own:\n    gauge, applies, holds = 'plain', frozenset(), frozenset(Quantity)\n"
    own = f"from hptransfer.parameterization.rules import Quantity\n{own}"
    (tmp_path / "no_exporter.py").write_text(f"{own}    def export(self, target): raise SystemExit\n{source}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "no_exporter", raising=False)
    result = scale(folder, "--format", "no_exporter:EXPORTER")

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert not folder.target.exists()
