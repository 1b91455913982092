"""Folders that a stranger's pull request might bring: recipes with what lies beside them, and run folders."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

from hptransfer.artifacts.recipe_snapshot import RecipeSnapshot
from hptransfer.recipe.load import load_recipe
from hptransfer.storage.database import SQLiteFile
from hptransfer.storage.optuna_store import OptunaStore
from hptransfer.testing.stores import make_trial, record
from tests.support.checked_folder import Folder
from tests.support.recipe_texts import GPT, MLP, edited

#: what a stranger's module does when it is imported
CANARY = (
    "import pathlib\npathlib.Path(__file__).with_name('owned').write_text('owned')\n\ndef make(*a, **k):\n    pass\n"
)
#: beside every folder, and never to be read, changed or spoken of
PRECIOUS = "precious: do not read me\n"

Build = Callable[[Path], list[str]]


def _data(pattern: str, kind: str = "text") -> str:
    section = f"{{kind: {kind}, files: ['{pattern}']}}"
    if kind == "tokens":
        section = f"{{kind: tokens, train: ['{pattern}'], vocabulary: 256, dtype: uint16}}"
    return edited(GPT, ("{kind: stdlib-text}", section))


def recipe(text: str | bytes, *prepare: Callable[[Path], object], arguments: tuple[str, ...] = ("r.yaml",)) -> Build:
    """A folder with a recipe and what functions put beside it; `validate` on it."""

    def build(folder: Path) -> list[str]:
        (folder / "r.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        (folder / "evil.py").write_text(CANARY)
        for each in prepare:
            each(folder)
        return ["validate", *arguments]

    return build


def link(name: str, target: str) -> Callable[[Path], object]:
    """Puts a link."""

    def put(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)

    return put


def pipe(name: str) -> Callable[[Path], object]:
    """Puts a pipe, which nobody writes to."""
    return lambda folder: os.mkfifo(folder / name)


def _socket(folder: Path) -> None:
    here = os.getcwd()
    os.chdir(folder)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("s.txt")
    finally:
        os.chdir(here)


def _many(folder: Path) -> None:
    for one in range(60):
        (folder / f"f{one}").mkdir()
        for two in range(1000):
            os.link(folder / "r.yaml", folder / f"f{one}" / f"{two}.x")


def _deep(folder: Path) -> None:
    (folder / "/".join("d" * 200)).mkdir(parents=True)


def _loops(folder: Path) -> None:
    for name in "abcdef":
        (folder / name).symlink_to(".")


def _sparse(folder: Path) -> None:
    with (folder / "big.txt").open("wb") as stream:
        stream.truncate(2**40)


def _evil(key: str) -> str:
    changes = {
        "factory": ("{kind: gpt, head_dim: 16}", "{kind: factory, factory: 'evil:make'}"),
        "loss": ("steps: 100", "steps: 100\n  loss: 'evil:make'"),
        "data": ("{kind: stdlib-text}", "{kind: python, source: 'evil:make', evaluation: 'evil:make'}"),
        "kind": ("{kind: stdlib-text}", "{kind: 'evil:make'}"),
        "optimizer": ("steps: 100", "steps: 100\n  optimizer: 'evil:make'"),
        "sampler": ("tune:\n", "tune:\n  sampler: 'evil:make'\n"),
        "trainer": ("sizes:\n", "trainer: {name: function, function: 'evil:make'}\nsizes:\n"),
    }
    return edited(GPT, changes[key])


#: name -> (what is built, exit statuses of which one is right)
RECIPES: dict[str, tuple[Build, tuple[int, ...]]] = {
    "link-to-root": (recipe(_data("**/passwd"), link("root", "/")), (1,)),
    "six-stars-and-loops": (recipe(_data("**/**/**/**/**/**/x"), _loops), (1,)),
    "loops-by-name": (recipe(_data("*/*/*/*/*/*/*/*/x"), _loops), (1,)),
    "link-out": (recipe(_data("t.txt"), link("t.txt", "../precious.txt")), (1,)),
    "link-out-missing": (recipe(_data("t.txt"), link("t.txt", "../missing.txt")), (1,)),
    "link-out-absolute": (recipe(_data("*.txt"), link("t.txt", "/etc/passwd")), (1,)),
    "link-out-by-folder": (recipe(_data("d/precious.txt"), link("d", "..")), (1,)),
    "link-out-tokens": (recipe(_data("t.bin", "tokens"), link("t.bin", "/etc/passwd")), (1,)),
    "climbing": (recipe(_data("../../etc/passwd")), (1,)),
    "climbing-inside": (recipe(_data("a/../../precious.txt")), (1,)),
    "absolute": (recipe(_data("/etc/passwd")), (1,)),
    "pipe-as-data": (recipe(_data("p.txt"), pipe("p.txt")), (1,)),
    "socket-as-data": (recipe(_data("*.txt"), _socket), (1,)),
    "device-as-data": (recipe(_data("z.txt"), link("z.txt", "/dev/zero")), (1,)),
    "many-names": (recipe(_data("**/none"), _many), (1,)),
    "deep-folders": (recipe(_data("**/none"), _deep), (1,)),
    "endless-file": (recipe(_data("*.txt", "text"), _sparse), (1,)),
    "loop-as-recipe": (recipe(MLP, link("l.yaml", "l.yaml"), arguments=("l.yaml",)), (2,)),
    "recipe-links-out": (recipe(MLP, link("l.yaml", "../precious.txt"), arguments=("l.yaml",)), (2,)),
    "recipe-is-a-pipe": (recipe(MLP, pipe("p.yaml"), arguments=("p.yaml",)), (2,)),
    "folder-with-a-pipe": (recipe(_data("none"), pipe("p.yaml"), arguments=(".",)), (1, 2)),
    "folder-links-out": (recipe(_data("none"), link("x.yaml", "/etc/passwd"), arguments=(".",)), (1,)),
    "glob-links-out": (recipe(MLP, link("x.yaml", "../precious.txt"), arguments=("x*.yaml",)), (2,)),
    "glob-of-everything": (recipe(MLP, link("root", "/"), arguments=("**/none.yaml",)), (2,)),
    "name-steers": (recipe(_data("none"), link("\x1b[2J.yaml", "r.yaml"), arguments=("\x1b[2J.yaml",)), (1,)),
    "nul-in-a-name": (recipe(edited(MLP, ("name: small", 'name: "a\\0b"'))), (1,)),
    "byte-order-mark": (recipe(b"\xef\xbb\xbf" + _data("none").encode()), (1,)),
    "bidi": (recipe(edited(MLP, ("name: small", "name: small # \u202e txet\u202c"))), (1,)),
    "long-scalar": (recipe("name: " + "x" * 1_000_000), (1,)),
    "deep-nesting": (recipe("a: " + "[" * 30_000), (1,)),
    "huge-integer": (recipe(edited(MLP, ("steps: 100", f"steps: {'9' * 5000}"))), (1,)),
    "python-tag": (recipe("a: !!python/object/apply:os.system ['touch owned']\n"), (1,)),
    "alias-bomb": (recipe("".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))), (1,)),
    "many-trials": (
        recipe(edited(MLP, ("tune:\n", "tune:\n  trials: 4096\n")), arguments=("--max-trials", "100", "r.yaml")),
        (1,),
    ),
    "endless-check": (
        recipe(
            edited(MLP, ("tune:\n", "check: {spacing: 0.03125, octaves: 16, seeds: 100}\ntune:\n")),
            arguments=("--max-trials", "100", "r.yaml"),
        ),
        (1,),
    ),
    **{f"code-{key}": (recipe(_evil(key)), (0, 1)) for key in ("factory", "loss", "data", "kind", "trainer")},
    **{f"code-{key}": (recipe(_evil(key)), (1,)) for key in ("optimizer", "sampler")},
    "code-shapes": (recipe(_evil("factory"), arguments=("--level", "shapes", "r.yaml")), (0,)),
}


def committed(folder: Path) -> Folder:
    """A recipe with the run folder that `tune` and `check` left, its database and its snapshot too."""
    made = Folder(folder)
    loaded = load_recipe(made.recipe)
    run = made.runs / "tiny"
    space = {str(name): axis for name, axis in loaded.recipe.tune.space.items()}
    with OptunaStore(SQLiteFile(run / "study.db"), made.identity, space) as store:
        for number in range(8):
            record(
                store, make_trial(f"{number:064x}", 2.5 + number / 100, 0.005 * 1.3**number, loaded.recipe.proxy_size)
            )
    snapshot = RecipeSnapshot(
        format=RecipeSnapshot.FORMAT,
        file=str(made.recipe),
        recipe_hash=made.hash,
        fingerprint="f" * 64,
        recipe=loaded.recipe,
        identity=made.identity,
        trainer="torch 1",
    )
    snapshot.write_json(run / "recipe.json")
    return made


def run_folder(change: Callable[[Path], object], *arguments: str) -> Build:
    """A copy of a committed folder with one change; a command on it."""

    def build(folder: Path) -> list[str]:
        shutil.copytree(folder.parent / "committed", folder, dirs_exist_ok=True, symlinks=True)
        change(folder / "runs" / "tiny")
        return list(arguments)

    return build


def _replaced_by_link(name: str, target: str = "../../../precious.txt") -> Callable[[Path], object]:
    def put(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(target)

    return put


def _replaced_by_pipe(name: str) -> Callable[[Path], object]:
    def put(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return put


def _cut(size: int) -> Callable[[Path], object]:
    return lambda run: os.truncate(run / "study.db", (run / "study.db").stat().st_size - size)


def _sql(*statements: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        with sqlite3.connect(run / "study.db") as connection:
            for statement in statements:
                connection.execute(statement.replace('"STEERS"', json.dumps(_ESCAPE)).replace("STEERS", _ESCAPE))
        connection.close()

    return change


def _content(name: str, text: str | bytes) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(text.encode() if isinstance(text, str) else text)


def _noise(run: Path) -> None:
    content = bytearray((run / "study.db").read_bytes())
    content[4096:20480] = bytes(range(256)) * 64
    (run / "study.db").write_bytes(content)


def _moved(run: Path) -> None:
    run.rename(run.parent.parent / "elsewhere")
    run.symlink_to("../elsewhere")


_STATUS, _TUNE, _CHECK, _SCALE = (
    ("status", "runs/tiny"),
    ("tune", "tiny.yaml"),
    ("check", "tiny.yaml"),
    ("scale", "tiny.yaml"),
)
_ESCAPE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/]"

#: name -> (what is built, exit statuses of which one is right)
RUN_FOLDERS: dict[str, tuple[Build, tuple[int, ...]]] = {
    "honest": (run_folder(lambda run: None, *_STATUS), (0,)),
    "lock-links-out": (run_folder(_replaced_by_link("lock"), *_TUNE), (4,)),
    "lock-is-a-pipe": (run_folder(_replaced_by_pipe("lock"), *_TUNE), (4,)),
    "lock-is-a-pipe-status": (run_folder(_replaced_by_pipe("lock"), *_STATUS), (0, 4)),
    "database-links-out": (run_folder(_replaced_by_link("study.db"), *_TUNE), (4,)),
    "database-links-out-status": (run_folder(_replaced_by_link("study.db"), *_STATUS), (4,)),
    "database-is-a-pipe": (run_folder(_replaced_by_pipe("study.db"), *_STATUS), (4,)),
    "database-is-a-pipe-tune": (run_folder(_replaced_by_pipe("study.db"), *_TUNE), (4,)),
    "journal-links-out": (run_folder(_replaced_by_link("study.db-journal"), *_TUNE), (4,)),
    "tuned-links-out": (run_folder(_replaced_by_link("tuned.yaml"), *_SCALE), (4,)),
    "tuned-is-a-pipe": (run_folder(_replaced_by_pipe("tuned.yaml"), *_CHECK), (4,)),
    "transfer-links-out": (run_folder(_replaced_by_link("transfer.json"), *_SCALE), (4,)),
    "recipe-links-out": (run_folder(_replaced_by_link("recipe.json"), *_STATUS), (4,)),
    "readings-link-out": (run_folder(_replaced_by_link("readings.json"), *_TUNE), (4,)),
    "costs-are-a-pipe": (run_folder(_replaced_by_pipe("costs.json"), *_TUNE), (4,)),
    "figures-link-out": (run_folder(_replaced_by_link("figures", "../../.."), *_CHECK), (4,)),
    "failures-link-out": (run_folder(_replaced_by_link("failures", "../../.."), *_TUNE), (4,)),
    "stop-links-out": (run_folder(_replaced_by_link("stop"), *_TUNE), (4,)),
    "folder-links-elsewhere": (run_folder(_moved, *_TUNE), (4,)),
    "cut-by-184": (run_folder(_cut(184), *_STATUS), (4,)),
    "cut-by-184-tune": (run_folder(_cut(184), *_TUNE), (4,)),
    "cut-in-half": (run_folder(_cut(50_000), *_TUNE), (4,)),
    "emptied": (run_folder(_content("study.db", b""), *_TUNE), (4,)),
    "emptied-status": (run_folder(_content("study.db", b""), *_STATUS), (4,)),
    "vanished": (run_folder(lambda run: (run / "study.db").unlink(), *_TUNE), (4,)),
    "no-database": (run_folder(_content("study.db", "x" * 9000), *_TUNE), (4,)),
    "noise-in-pages": (run_folder(_noise, *_STATUS), (4,)),
    "noise-in-pages-tune": (run_folder(_noise, *_TUNE), (4,)),
    "phase-of-another-world": (
        run_folder(_sql("update trial_user_attributes set value_json='\"owned\"' where key='phase'"), *_STATUS),
        (4,),
    ),
    "key-is-a-list": (
        run_folder(_sql("update trial_user_attributes set value_json='[1]' where key='key'"), *_STATUS),
        (4,),
    ),
    "record-is-cut": (
        run_folder(_sql("update trial_user_attributes set value_json='{\"a' where key='trial'"), *_STATUS),
        (4,),
    ),
    "size-steers": (
        run_folder(_sql("update studies set study_name='STEERS-' || substr(study_name, -8)"), *_STATUS),
        (0, 4),
    ),
    "message-steers": (
        run_folder(
            _sql(
                "update trials set state='FAIL' where trial_id<4",
                "delete from trial_user_attributes where key='trial' and trial_id<4",
                "insert into trial_user_attributes (trial_id, key, value_json) "
                "values (1, 'message', '\"STEERS\"'), (1, 'cause', '\"STEERS\"')",
            ),
            *_STATUS,
        ),
        (0, 4),
    ),
    "tuned-is-deep": (run_folder(_content("tuned.yaml", "a: " + "[" * 3000), *_SCALE), (2, 4)),
    "tuned-has-aliases": (run_folder(_content("tuned.yaml", "format: 7\na: &a [*a]\n"), *_SCALE), (2, 4)),
    "tuned-runs-code": (
        run_folder(_content("tuned.yaml", "format: !!python/object/apply:os.system ['touch owned']\n"), *_SCALE),
        (2, 4),
    ),
    "transfer-is-deep": (run_folder(_content("transfer.json", "[" * 100_000), *_SCALE), (2, 4)),
    "transfer-steers": (
        run_folder(_content("transfer.json", json.dumps({"format": _ESCAPE})), *_SCALE),
        (2, 4),
    ),
    "snapshot-steers": (
        run_folder(_content("recipe.json", json.dumps({"format": 1, "file": _ESCAPE, "recipe": []})), *_STATUS),
        (2, 4),
    ),
    "owner-steers": (
        run_folder(
            _content(
                "lock",
                json.dumps({"pid": 1, "host": _ESCAPE, "started": _ESCAPE, "command": [_ESCAPE]}),
            ),
            *_STATUS,
        ),
        (0,),
    ),
}
