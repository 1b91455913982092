"""Which small faults the tests notice: a seeded sample of mutants, each judged by the tests of its room.

`python -m benchmarks.mutation [--count N] [--seed S] [--minutes M] [--statistics] [PATH ...]`. A mutant is the package
with one operator, constant, condition or sign changed. It is killed when a test fails, and survives when all tests of
its room pass (`TESTS`). The sample is fixed by the seed and the source before anything runs, and is never drawn again:
a survivor is answered by a test, or named as equivalent. Not part of CI: a mutant takes 5 to 30 s on one core.

Left alone: docstrings, texts, `__all__`, annotations, decorators, what is raised, and imports.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/data/mutation.json"

#: what is sampled when no path is given
ROOMS = ("hptransfer/transfer", "hptransfer/scaling", "hptransfer/trials/identity.py")
#: test folders of a room, likeliest to notice first; the module's own test file goes before all of them
TESTS = {
    "transfer": (
        "tests/transfer/test_regret.py",
        "tests/transfer/test_judge.py",
        "tests/checking/test_oracle_tables.py",
        "tests/report/test_terminal.py",
        "tests/transfer/test_prediction.py",
        "tests/transfer/test_exponents.py",
        "tests/transfer/test_verdict.py",
        "tests/transfer/test_verdict_text.py",
    ),
    "scaling": ("tests/scaling", "tests/export"),
    "trials": ("tests/trials", "tests/storage/test_trials.py", "tests/engine/test_own_models.py"),
    "statistics": ("tests/statistics", "tests/transfer"),
}  # without tests/transfer/test_calibration.py, which holds statistics to their rates and takes as long as all the rest
#: test files of a module that lie in other rooms, run right after its own
ELSEWHERE = {
    "transfer/allocation": ("tests/checking/test_adaptive.py",),
    "transfer/prediction": ("tests/scaling/test_verify.py",),
    "transfer/verdict": ("tests/transfer/test_linear_networks.py",),
}
#: seconds after which a run of tests counts as caught in a loop
_LONGEST = 180
_COPIED = ("hptransfer", "tests", "benchmarks", "recipes", "docs", "pyproject.toml", "README.md", "CHANGELOG.md")

Outcome = Literal["killed", "survived", "timeout"]

_COMPARED: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
}
_CALCULATED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}


@dataclass(frozen=True, order=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: path in the repository.
        line: of the change, from 1.
        start: offset of what is replaced, in bytes from the beginning of the file.
        end: offset of what follows it, in bytes.
        before: source that is replaced.
        after: source that replaces it.
        operator: kind of change: "comparison", "constant", "and/or", "not", "arithmetic" or "return".
    """

    file: str
    line: int
    start: int
    end: int
    before: str
    after: str
    operator: str


@dataclass(frozen=True)
class Judged:
    """A mutant with what the tests said.

    Attributes:
        mutant: the change that was judged.
        outcome: what became of it.
        seconds: that the tests took.
        by: the first test that failed; empty where none did.
    """

    mutant: Mutant
    outcome: Outcome
    seconds: float
    by: str


class _Finder(ast.NodeVisitor):
    """Collects the mutants of one file; offsets are in bytes, as the syntax tree counts columns."""

    def __init__(self, file: str, source: bytes) -> None:
        self._file, self._source = file, source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._returns: list[str] = []
        self.found: list[Mutant] = []

    def visit_Raise(self, node: ast.Raise) -> None:
        """What is raised is text for people."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """So are f-strings, whose inner positions are unreliable as well."""

    def visit_Assign(self, node: ast.Assign) -> None:
        """`__all__` is a list of names."""
        if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """The value, not the annotation."""
        if node.value is not None:
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        """Imports for annotations have no behaviour."""
        if ast.unparse(node.test) not in ("TYPE_CHECKING", "__name__ == '__main__'"):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Defaults and body, without decorators and annotations."""
        self._returns.append("" if node.returns is None else ast.unparse(node.returns))
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)
        self._returns.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """The body."""
        for part in node.body:
            self.visit(part)

    def visit_Return(self, node: ast.Return) -> None:
        """A truth is negated, a number gets the other sign."""
        returns = self._returns[-1] if self._returns else ""
        if node.value is not None and not isinstance(node.value, ast.Constant):
            sign = {"bool": "not ", "float": "-", "int": "-", "Array": "-"}.get(returns)
            if sign is not None:
                text = self._text(node.value)
                self._add(node.value, self._start(node.value), self._end(node.value), f"{sign}({text})", "return")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Each comparison with its bound moved in or out, and turned round."""
        for left, operator, right in zip((node.left, *node.comparators), node.ops, node.comparators, strict=False):
            token, others = _COMPARED[type(operator)]
            for other in others:
                self._between(node, left, right, token, other, "comparison")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """The first `and` or `or` of a chain."""
        token, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self._between(node, node.values[0], node.values[1], token, other, "and/or")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """`not x` becomes `x`; the sign of a literal is left to its constant."""
        if isinstance(node.op, ast.Not):
            self._add(node, self._start(node), self._end(node), f"({self._text(node.operand)})", "not")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Each sum, product and power; texts that are joined are no sums."""
        texts = (ast.JoinedStr, ast.Dict, ast.List, ast.Tuple)
        joined = any(
            isinstance(side, texts) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
            for side in (node.left, node.right)
        )
        if type(node.op) in _CALCULATED and not joined:
            self._between(node, node.left, node.right, *_CALCULATED[type(node.op)], "arithmetic")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Numbers twice and half as large, and one more or less."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        changed: list[int | float] = [value + 1, value - 1, value * 2]
        changed.append(value // 2 if isinstance(value, int) else value / 2)
        for other in dict.fromkeys(changed):
            if other != value:
                text = repr(other) if other >= 0 else f"({other!r})"
                self._add(node, self._start(node), self._end(node), text, "constant")

    def _start(self, node: ast.expr) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._lines[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.expr) -> str:
        return self._source[self._start(node) : self._end(node)].decode()

    def _between(self, node: ast.expr, left: ast.expr, right: ast.expr, token: str, other: str, kind: str) -> None:
        """Replaces the operator between two operands; brackets and comments around it stay."""
        first, last = self._end(left), self._start(right)
        pattern = re.escape(token).replace(r"\ ", r"\s+")
        at = re.search(pattern.encode(), self._source[first:last])
        if at is not None:
            self._add(node, first + at.start(), first + at.end(), other, kind)

    def _add(self, node: ast.expr, start: int, end: int, after: str, operator: str) -> None:
        line = 1 + self._source[:start].count(b"\n")
        before = self._source[start:end].decode()
        self.found.append(Mutant(self._file, line, start, end, before, after, operator))


def mutants_of(file: str, source: str) -> list[Mutant]:
    """All mutants of one file, in the order of the source.

    Args:
        file: path in the repository, for the record.
        source: the text of the file.
    """
    finder = _Finder(file, source.encode())
    finder.visit(ast.parse(source))
    return sorted(finder.found)


def applied(mutant: Mutant, source: str) -> str:
    """The file's text with the mutant in it; all other formatting stays.

    Args:
        mutant: a change of this file.
        source: the text of the file.
    """
    content = source.encode()
    assert content[mutant.start : mutant.end].decode() == mutant.before
    return (content[: mutant.start] + mutant.after.encode() + content[mutant.end :]).decode()


def sampled(paths: Iterable[str], count: int, seed: int) -> list[Mutant]:
    """A random sample of the mutants of some files and folders, in random order.

    Args:
        paths: in the repository; those that do not exist are left out.
        count: mutants wanted at most.
        seed: from which the sample was drawn.
    """
    files = sorted({
        file
        for path in paths
        if (ROOT / path).exists()
        for file in ([ROOT / path] if path.endswith(".py") else (ROOT / path).rglob("*.py"))
    })  # fmt: skip
    found: list[Mutant] = []
    for file in files:
        found += mutants_of(str(file.relative_to(ROOT)), file.read_text(encoding="utf-8"))
    return random.Random(seed).sample(found, min(count, len(found)))


def paths_for(file: str, root: Path = ROOT) -> list[str]:
    """Test files and folders of a source file, likeliest to notice a fault first.

    Args:
        file: path in the repository.
        root: of the repository or of a copy.
    """
    room, module = file.split("/")[1], Path(file).stem
    own = [f"tests/{room}/test_{module}.py", *ELSEWHERE.get(f"{room}/{module}", ())]
    return [path for path in (*own, *TESTS[room]) if (root / path).exists()]


def judged(mutant: Mutant, copy: Path, seconds: float = _LONGEST) -> Judged:
    """What the tests say to a mutant.

    Args:
        mutant: the change to be judged.
        copy: a copy of the repository, which has the original file again afterwards.
        seconds: after which the tests are ended.
    """
    file = copy / mutant.file
    original = file.read_text(encoding="utf-8")
    started = time.monotonic()
    try:
        file.write_text(applied(mutant, original), encoding="utf-8")
        _date(file)
        code, said = _run_tests(paths_for(mutant.file, copy), copy, seconds)
    finally:
        file.write_text(original, encoding="utf-8")
        _date(file)
    took = time.monotonic() - started
    if code is None:
        return Judged(mutant, "timeout", took, "")
    first = re.search(r"^(?:FAILED|ERROR) (\S+)", said, flags=re.MULTILINE)
    return Judged(mutant, "survived" if code == 0 else "killed", took, first.group(1) if first and code else "")


_dates = iter(range(1, 10**9))


def _date(file: Path) -> None:
    """Gives a file a date of its own: byte code is looked up by date in seconds and size."""
    at = 1_000_000_000 + next(_dates)
    os.utime(file, (at, at))


def _run_tests(paths: Sequence[str], copy: Path, seconds: float) -> tuple[int | None, str]:
    """(exit status, output) of pytest up to the first failure; None for a status when time was up."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *paths]
    settings = {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        cwd=copy,
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, said


def copied(folder: Path) -> Path:
    """A copy of what tests need, with byte code already made, in a folder."""
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "hptransfer", "tests"], cwd=folder, check=True)
    return folder


def verdicts(mutants: Sequence[Mutant], minutes: float) -> Iterator[Judged]:
    """Judges mutants one after the other until time is up.

    Args:
        mutants: in the order in which they are tried.
        minutes: after which no further one begins.

    Raises:
        SystemExit: the tests fail without any mutant.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = copied(Path(folder))
        paths = sorted({path for mutant in mutants for path in paths_for(mutant.file, copy)})
        code, said = _run_tests(paths, copy, 10 * _LONGEST)
        if code != 0:
            raise SystemExit(f"the tests must pass before anything is changed, but they say\n{said}")
        for mutant in mutants:
            if time.monotonic() - began > 60 * minutes:
                return
            yield judged(mutant, copy)


def write(results: Sequence[Judged], count: int, seed: int, path: Path = RESULT) -> None:
    """Writes what was found as JSON.

    Args:
        results: of the mutants that were tried so far.
        count: size of the sample.
        seed: from which the sample was drawn.
        path: of the file that is written.
    """
    counts = Counter(result.outcome for result in results)
    document = {
        "seed": seed,
        "sample": count,
        "run": len(results),
        **{name: counts[name] for name in ("killed", "survived", "timeout")},
        "mutants": [
            {**asdict(result.mutant), "outcome": result.outcome, "seconds": round(result.seconds, 1), "by": result.by}
            for result in results
        ],
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def written(sample: Sequence[Mutant], path: Path = RESULT) -> list[Judged]:
    """What an interrupted run of the same sample has found.

    Args:
        sample: the mutants that the run tries.
        path: of the file that `write` made; nothing is found where it is missing.
    """
    if not path.exists():
        return []
    names = [field.name for field in fields(Mutant)]
    rows = json.loads(path.read_text(encoding="utf-8"))["mutants"]
    found = {Mutant(**{name: row[name] for name in names}): (row["outcome"], row["seconds"], row["by"]) for row in rows}
    return [Judged(mutant, *found[mutant]) for mutant in sample if mutant in found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each mutant as it is judged and the counts by room; the result file grows with each."""
    parser = argparse.ArgumentParser(description="Judge the tests by a seeded sample of mutants.")
    parser.add_argument("paths", nargs="*", help=f"files or folders; default {' '.join(ROOMS)}")
    parser.add_argument("--count", type=int, default=100, help="mutants in the sample")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which no further mutant begins")
    parser.add_argument("--statistics", action="store_true", help="sample hptransfer/statistics as well")
    parser.add_argument("--resume", action="store_true", help="keep what an interrupted run of this sample has found")
    parser.add_argument("--list", action="store_true", help="print the sample and run nothing")
    asked = parser.parse_args(arguments)
    paths = asked.paths or [*ROOMS, *(["hptransfer/statistics"] if asked.statistics else [])]
    sample = sampled(paths, asked.count, asked.seed)
    if asked.list:
        for mutant in sample:
            print(f"{mutant.file}:{mutant.line} {mutant.before} -> {mutant.after}")
        return 0
    results = written(sample) if asked.resume else []
    known = {result.mutant for result in results}
    for result in verdicts([mutant for mutant in sample if mutant not in known], asked.minutes):
        results.append(result)
        write(results, len(sample), asked.seed)
        mutant = result.mutant
        print(
            f"{result.outcome:8s} {result.seconds:5.1f} s  {mutant.file}:{mutant.line}  "
            f"{' '.join(mutant.before.split())[:60]} -> {' '.join(mutant.after.split())[:60]}  {result.by}",
            flush=True,
        )
    print("\nroom          killed  survived  timeout")
    rooms = Counter((result.mutant.file.split("/")[1], result.outcome) for result in results)
    for room in sorted({room for room, _ in rooms}):
        print(f"{room:12s} {rooms[room, 'killed']:7d} {rooms[room, 'survived']:9d} {rooms[room, 'timeout']:8d}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
