"""Comments that excuse findings: what is a comment, what it excuses, and what is wrong with one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hptransfer.commands.validate import validate_command
from hptransfer.linting.ignores import comments
from hptransfer.linting.levels.base import ValidationOptions
from hptransfer.linting.validate import Validation, validate
from tests.support.kept_evidence import Kept
from tests.support.recipe_texts import LLAMA, MLP, edited

#: breaks HPT202 at line 15
WEAK = MLP + "check:\n  seeds: 1\n"
IGNORE = "# hptransfer: ignore[HPT202] the noise is known"


def checked(folder: Path, text: str, options: ValidationOptions | None = None) -> Validation:
    """The text, at the level `static` unless options say otherwise."""
    file = folder / "recipe.yaml"
    file.write_text(text)
    return validate(str(file), options or ValidationOptions())


def numbers(result: Validation) -> list[str | None]:
    """Numbers of errors and warnings."""
    return [each.id for each in (*result.errors, *result.warnings)]


@pytest.mark.parametrize(
    "text",
    [
        edited(WEAK, ("seeds: 1", f"seeds: 1  {IGNORE}")),
        edited(WEAK, ("  seeds: 1", f"  {IGNORE}\n  seeds: 1")),
        edited(WEAK, ("  seeds: 1", f"{IGNORE}\n\n  # another comment\n  seeds: 1")),
        f"{IGNORE.replace('ignore', 'ignore-file')}\n{WEAK}",
        f"# a recipe\n\n{IGNORE.replace('ignore', 'ignore-file')}\n{WEAK}",
        edited(WEAK, ("seeds: 1", f"seeds: 1 {IGNORE.replace('HPT202', 'hpt202')}")),
        edited(WEAK, ("seeds: 1", f"seeds: 1 {IGNORE.replace('HPT202', 'advice/single-seed')}")),
        edited(WEAK, ("seeds: 1", "seeds: 1 #hptransfer:ignore[HPT202]: it is known")),
        edited(WEAK, ("seeds: 1", f"seeds: 1 {IGNORE}")).replace("\n", "\r\n"),
    ],
)
def test_a_comment_excuses(tmp_path: Path, text: str) -> None:
    """On the line, above it with other comments between, or for the file; by number or code, with its reason."""
    result = checked(tmp_path, text)

    assert numbers(result) == []
    ((excused),) = result.excused
    assert (excused.finding.id, excused.level) == ("HPT202", "warning")
    assert "known" in excused.reason
    assert (*result.errors, *result.warnings) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (WEAK, ["HPT202"]),
        (edited(WEAK, ("check:", f"check: {IGNORE}")), ["HPT202", "HPT954"]),  # the line above is not the comment's
        (edited(WEAK, ("check:", f"{IGNORE}\ncheck:")), ["HPT202", "HPT954"]),
        (WEAK + IGNORE + "\n", ["HPT202", "HPT954"]),
        (edited(WEAK, ("seeds: 1", f"seeds: 1 {IGNORE.replace('202', '200')}")), ["HPT202", "HPT954"]),
        (edited(WEAK, ("name: small", f"name: small\ndescription: 'x {IGNORE}'")), ["HPT202"]),
        (edited(WEAK, ("name: small", f'name: small\ndescription: "x {IGNORE}"')), ["HPT202"]),
        (edited(WEAK, ("name: small", "name: small\ndescription: x#hptransfer:ignore[HPT202] known")), ["HPT202"]),
        (edited(WEAK, ("name: small", f"name: small\ndescription: |\n  a\n  {IGNORE}\n  b")), ["HPT202"]),
        (edited(WEAK, ("name: small", f"name: small\ndescription: >-\n  a\n\n  {IGNORE}\n")), ["HPT202"]),
        (edited(WEAK, ("name: small", f"name: small\ndescription: |\n  {IGNORE}\n  {IGNORE}")), ["HPT202"]),
    ],
)
def test_what_excuses_nothing(tmp_path: Path, text: str, expected: list[str]) -> None:
    """Another line, another rule, and a `#` in a quoted text, a plain word or a block."""
    assert numbers(checked(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("comment", "number", "hint"),
    [
        ("ignore HPT202 known", "HPT950", "write `# hptransfer: ignore[HPT202] known`"),
        ("ignore(HPT202) known", "HPT950", "write `# hptransfer: ignore[HPT202] known`"),
        ("ignroe[HPT202] known", "HPT950", "write `# hptransfer: ignore[HPT202] reason`"),
        ("ignore[] known", "HPT950", "write `# hptransfer: ignore[HPT202] reason`"),
        ("ignore[HPT202", "HPT950", "write `# hptransfer: ignore[HPT202] REASON`"),
        ("ignore-file[HPT202] known", "HPT950", "put `ignore-file[...]` on a line of its own above the first key"),
        ("ignore[HPT202]", "HPT951", "write `# hptransfer: ignore[HPT202] REASON`"),
        ("ignore[HPT202] ...", "HPT951", "write `# hptransfer: ignore[HPT202]"),
        ("ignore[HPT298] known", "HPT952", "write a number or a code that `hptransfer rules` lists"),
        ("ignore[202] known", "HPT952", "write a number or a code that `hptransfer rules` lists"),
        ("ignore[advice/single-sed] known", "HPT952", "did you mean `advice/single-seed`?"),
        ("ignore[HPT010] known", "HPT953", "delete the comment"),
        ("ignore[HPT142] known", "HPT953", "delete the comment"),
        ("ignore[HPT954] known", "HPT953", "delete the comment"),
    ],
)
def test_faults_of_comments(tmp_path: Path, comment: str, number: str, hint: str) -> None:
    """A comment that cannot excuse is an error at its place with a repair, and excuses nothing."""
    result = checked(tmp_path, edited(WEAK, ("seeds: 1", f"seeds: 1 # hptransfer: {comment}")))

    (fault,) = result.errors
    assert fault.place is not None
    assert (fault.id, fault.place.line, fault.place.column) == (number, 15, 12)
    assert str(fault.hint).startswith(hint)
    assert [each.id for each in result.warnings] == ["HPT202"]


def test_faults_of_form_cannot_be_excused(tmp_path: Path) -> None:
    """The fault stays, and so does what is wrong with the comment."""
    text = edited(MLP, ("512]", "512]\n  corner: true # hptransfer: ignore[HPT134] meant so"))

    assert numbers(checked(tmp_path, text)) == ["HPT134", "HPT953"]


def test_errors_can_be_excused_and_the_next_level_runs(tmp_path: Path) -> None:
    """An excused error of `static` is none: the exit status is 0, and `shapes` is asked."""
    ignore = "# hptransfer: ignore[HPT210] the corpus is on the cluster only"
    text = edited(MLP, ("{kind: stdlib-text}", f"\n  kind: text\n  {ignore}\n  files: [none.txt]"))
    result = checked(tmp_path, text, ValidationOptions(("static", "shapes")))

    assert numbers(result) == []
    assert [(each.finding.id, each.level) for each in result.excused] == [("HPT210", "error")]
    assert result.sound == f"{tmp_path / 'recipe.yaml'}: valid (static, shapes); 1 finding ignored by comments"


def test_unused_only_where_its_level_ran(tmp_path: Path) -> None:
    """A comment on what `shapes` finds is not called unused by `static`."""
    text = edited(MLP, ("model:", "# hptransfer: ignore[HPT301] a factor that is constant\nmodel:"))

    assert numbers(checked(tmp_path, text)) == []
    assert numbers(checked(tmp_path, text, ValidationOptions(("static", "shapes")))) == ["HPT954"]


def test_own_rules_are_named_by_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule without a number is excused by its code; where it is not asked, the comment is nobody's fault."""
    (tmp_path / "ignored_rules.py").write_text(
        "from hptransfer.errors import Finding\n"
        "from hptransfer.linting.base import FunctionRule\n"
        "def check(loaded):\n"
        "    yield Finding('a recipe should be described', 'none', None, loaded.place(('name',)))\n"
        "RULES = (FunctionRule('house/described', 'described', check, level='error'),)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ignored_rules", raising=False)
    text = edited(MLP, ("name: small", "name: small # hptransfer: ignore[house/described] it is small"))
    options = ValidationOptions(rules=("ignored_rules:RULES",))

    assert numbers(checked(tmp_path, MLP, options)) == [None]
    assert numbers(checked(tmp_path, text, options)) == []
    assert numbers(checked(tmp_path, text)) == []


def test_programs_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was excused, why and where, is in the document, and no finding."""
    file = tmp_path / "recipe.yaml"
    file.write_text(edited(WEAK, ("seeds: 1", f"seeds: 1 {IGNORE}")))

    assert validate_command([str(file)], "json") == 0
    (recipe,) = json.loads(capsys.readouterr().out)["recipes"]
    (excused,) = recipe["suppressed"]
    assert recipe["findings"] == []
    assert (excused["id"], excused["reason"], excused["comment"]) == ("HPT202", "the noise is known", f"{file}:15:12")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1 # x", [(1, 6, "# x", False)]),
        ("# x\na: 1", [(1, 1, "# x", True)]),
        ("a: '1 # x' # y", [(1, 12, "# y", False)]),
        ("a: 'it''s # x' # y", [(1, 16, "# y", False)]),
        ('a: "\\" # x" # y', [(1, 13, "# y", False)]),
        ("a: x#y #z", [(1, 8, "#z", False)]),
        ("a: [1, # x\n 2] # y", [(1, 8, "# x", False), (2, 5, "# y", False)]),
        ("a: | # x\n  # y\n# z\nb: 1", [(1, 6, "# x", False), (3, 1, "# z", True)]),
        ("a: >2-  # x\n   # y\n\n# z", [(1, 9, "# x", False), (4, 1, "# z", True)]),
        ("a: 'x\n  # y\n  z' # w", [(3, 6, "# w", False)]),
        ("a: |\r\n  # y\r\nb: 1 # z", [(3, 6, "# z", False)]),
        ("é: 'ü # x' # y", [(1, 12, "# y", False)]),
        ("'a # b': 1 # c", [(1, 12, "# c", False)]),
    ],
)
def test_comments_of_yaml(text: str, expected: list[tuple[int, int, str, bool]]) -> None:
    """By hand: a `#` is a comment at the start of a line or after a blank, outside of every scalar."""
    assert [(each.line, each.column, each.text, each.alone) for each in comments(text)] == expected


@given(st.text("ab # '\"|>\\\n", max_size=30), st.sampled_from(["'", '"', "|"]))
@settings(max_examples=200, deadline=None)
def test_no_text_is_taken_for_a_comment(content: str, style: str) -> None:
    """Whatever stands in a quoted text or a block, only what is written behind it is found."""
    if style == "|":
        block = "".join(f"    {line}\n" for line in content.split("\n"))
        text, line = f"a:\n- |2\n{block}- 1 # mark\n", content.count("\n") + 4
    else:
        inner = content.replace("\n", " ").replace("'", "''") if style == "'" else json.dumps(content)[1:-1]
        text, line = f"a: {style}{inner}{style} # mark\n", 1

    assert [(each.line, each.text) for each in comments(text)] == [(line, "# mark")]


def test_a_bomb_of_comments_ends_soon(tmp_path: Path) -> None:
    """Thousands of comments with many names each: a bounded number of findings, well within two seconds."""
    names = ",".join(f"x{number}/y" for number in range(32))
    lines = 60_000 // (len(names) + 40)
    started = time.monotonic()
    many = checked(tmp_path, MLP + f"# hptransfer: ignore[{names}] known\n" * lines)
    short = checked(tmp_path, MLP + "# hptransfer:\n" * 4000)

    assert time.monotonic() - started < 2
    assert len(many.errors) <= 1
    assert [each.id for each in short.errors] == ["HPT950"] * 101
    assert short.errors[-1].received == "4000 such comments, of which 100 are read"


@pytest.mark.parametrize("code", ["HPT406", "evidence/edited-fit"])
def test_edited_evidence_cannot_be_excused(tmp_path: Path, code: str) -> None:
    """A pull request that edits a verdict may bring a comment as well: the comment is an error, the edit stays one."""
    kept = Kept(tmp_path)
    kept.recipe.write_text(f"# hptransfer: ignore-file[{code}] trust me\n{kept.recipe.read_text()}")
    kept.edit("transfer.json", lambda content: content.update(verdict="DRIFTS"))

    result = kept.validate()

    assert result.excused == ()
    assert {each.code for each in result.errors} >= {"ignore/held"}
    kept.recipe.write_text(kept.recipe.read_text().replace("# hptransfer: ignore-file", "# ignored"))
    assert "evidence/edited-verdict" in kept.found()


def _stripped(kept: Kept) -> None:
    for name in ("tuned.yaml", "transfer.json"):
        kept.without_trials(name)
    kept.edit("transfer.json", lambda content: content.update(verdict="DRIFTS"))


def _of_another_recipe(kept: Kept) -> None:
    kept.edit("transfer.json", lambda content: content.update(recipe_hash="0" * 64, verdict="DRIFTS"))


def _of_another_identity(kept: Kept) -> None:
    kept.edit("target.yaml", lambda content: content["provenance"].update(recipe_hash="0" * 64))
    kept.edit("target.yaml", lambda content: content["scope"].update(covered=True))


def _gone(kept: Kept) -> None:
    kept.file("tuned.yaml").unlink()


@pytest.mark.parametrize(
    ("codes", "edit"),
    [
        ("HPT402", _stripped),
        ("HPT407", _of_another_recipe),
        ("HPT413", _of_another_identity),
        ("HPT400", _gone),
    ],
)
def test_a_finding_that_ends_a_level_leaves_it_undecided(
    tmp_path: Path, codes: str, edit: Callable[[Kept], None]
) -> None:
    """What comes after such a finding was not looked at: excused, it must not look as if it had been."""
    kept = Kept(tmp_path)
    edit(kept)
    assert {each.id for each in kept.validate().errors} == {codes}

    kept.recipe.write_text(f"# hptransfer: ignore-file[{codes}] later\n{kept.recipe.read_text()}")
    result = kept.validate()

    assert {each.finding.id for each in result.excused} == {codes}
    assert [each.id for each in result.errors] == ["HPT955"]
    assert f"{codes} is excused, so it is not known whether fit, verdict and target follow" in str(
        result.errors[0].received
    )
    assert result.sound is None
    assert result.unanswered
    assert result.summary["levels"]["evidence"]["passed"] is False


def test_a_finding_that_ends_nothing_is_excused_as_before(tmp_path: Path) -> None:
    """Another platform's evidence was computed again all the same."""
    kept = Kept(tmp_path)
    kept.recipe.write_text(f"# hptransfer: ignore-file[HPT416] built there\n{kept.recipe.read_text()}")

    assert kept.validate(strict=True).errors == ()


def test_comments_excuse_no_cap(tmp_path: Path) -> None:
    """An error of `static` that is excused, or a model that cannot be built, must not keep a cap from being asked."""
    text = MLP.replace("data: {kind: stdlib-text}", "data: {kind: text, files: [nowhere.txt]}")
    assert text != MLP
    path = tmp_path / "recipe.yaml"
    path.write_text("# hptransfer: ignore-file[HPT210] it is not here\n" + text)

    assert validate(str(path)).errors == ()
    capped = validate(str(path), ValidationOptions(max_trials=3))
    assert [each.code for each in capped.errors] == ["caps/trials"]

    unbuildable = edited(LLAMA, ("hidden_size: 64", "hidden_act: nothing, hidden_size: 64"))
    path.write_text(f"# hptransfer: ignore-file[HPT300] it cannot be built\n{unbuildable}")
    levels = ("static", "shapes")
    assert validate(str(path), ValidationOptions(levels)).errors == ()
    capped = validate(str(path), ValidationOptions(levels, max_flops=1.0))
    assert [each.code for each in capped.errors] == ["ignore/ends-level"]
