"""benchmarks/mutation.py: what it changes, what it leaves alone, and that a sample is fixed."""

from __future__ import annotations

import ast

import pytest

from benchmarks.mutation import ROOT, applied, mutants_of, paths_for, sampled

SOURCE = '''\
"""A module of 1 < 2 words and not more."""

from __future__ import annotations

__all__ = ["grown"]
_LIMIT: float = 0.5  # half, and not less


def grown(size: int, ends: tuple[int, int] = (0, 3)) -> bool:
    """Whether 1 < 2."""
    if size < 1:
        raise ValueError(f"{size} < 1")
    return (
        not size  # a comment
        <= ends[1]
        and size * _LIMIT > 7
    )
'''


def test_every_kind_of_change_is_made_and_nothing_else() -> None:
    """Texts, annotations, `__all__` and what is raised stay; numbers, comparisons, products and truths change."""
    found = {(mutant.line, mutant.before, mutant.after) for mutant in mutants_of("m.py", SOURCE)}

    assert {line for line, _, _ in found} == {6, 9, 11, 14, 15, 16}
    assert {(6, "0.5", "1.0"), (6, "0.5", "0.25"), (6, "0.5", "1.5"), (6, "0.5", "(-0.5)")} <= found
    assert {(9, "0", "1"), (9, "3", "4"), (9, "3", "2"), (9, "3", "6"), (9, "3", "1")} <= found
    assert {(11, "<", "<="), (11, "<", ">=")} <= found
    assert {
        (15, "<=", "<"),
        (15, "<=", ">"),
        (16, "and", "or"),
        (16, "*", "/"),
        (16, ">", ">="),
        (16, ">", "<="),
    } <= found
    assert any(before.startswith("not size") and not after.startswith("not") for _, before, after in found)
    assert any(after.startswith("not (") for _, _, after in found)


def test_the_rest_of_the_file_stays_as_it_is() -> None:
    """One place differs, comments and line breaks included, and the file is Python."""
    for mutant in mutants_of("m.py", SOURCE):
        changed = applied(mutant, SOURCE)

        ast.parse(changed)
        assert changed != SOURCE
        assert len(changed) - len(SOURCE) == len(mutant.after) - len(mutant.before)
        assert changed.startswith(SOURCE.encode()[: mutant.start].decode())
        assert changed.endswith(SOURCE.encode()[mutant.end :].decode())


def test_letters_beyond_ascii_do_not_move_a_change() -> None:
    """The syntax tree counts bytes."""
    (mutant,) = [each for each in mutants_of("m.py", 'τ, x = "é", 3\n') if each.after == "4"]

    assert applied(mutant, 'τ, x = "é", 3\n') == 'τ, x = "é", 4\n'


def test_a_sample_is_fixed_by_its_seed() -> None:
    """Drawn again it is the same; with another seed it is another."""
    sample = sampled(["hptransfer/transfer"], 20, seed=0)

    assert sampled(["hptransfer/transfer"], 20, seed=0) == sample
    assert sampled(["hptransfer/transfer"], 20, seed=1) != sample
    assert len(set(sample)) == 20


@pytest.mark.parametrize(
    "file", sorted(str(path.relative_to(ROOT)) for path in (ROOT / "hptransfer/transfer").glob("*.py"))
)
def test_every_file_has_tests_to_be_judged_by(file: str) -> None:
    """And its own go first."""
    paths = paths_for(file)
    own = file.replace("hptransfer/", "tests/").replace("transfer/", "transfer/test_", 1)

    assert paths
    assert own not in paths or paths[0] == own
