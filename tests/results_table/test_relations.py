"""Functions of other columns, numbers written with different digits, and what names say: each on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from hptransfer.results_table.cells import Cell
from hptransfer.results_table.column_kinds import ColumnKind, column_kind
from hptransfer.results_table.relations import Numbers, Relation, function_of
from hptransfer.results_table.written import last_place, one_value

GRID = [(width, 2.0**exponent) for width in (64, 128, 256, 512) for exponent in range(-10, -5)]


def numbers(cells: Sequence[Cell]) -> Numbers:
    """A column as a table holds it."""
    return Numbers(np.array([float(cell or 0) for cell in cells]), cells)


def relation(cells: Sequence[Cell]) -> Relation | None:
    """What a column beside the grid of widths and rates is a function of."""
    factors = {"lr": numbers([rate for _, rate in GRID]), "width": numbers([float(width) for width, _ in GRID])}
    return function_of("x", numbers(cells), factors)


@pytest.mark.parametrize("digits", [3, 4, 17])
@pytest.mark.parametrize(
    ("constant", "rate", "width"), [(0.1, 1, 0), (3.0, 0.5, 0), (7.0, 1, -1), (2e-4, -1, 0.5), (1, 1, 1)]
)
def test_products_of_powers_are_found_to_the_digits_written(
    digits: int, constant: float, rate: float, width: float
) -> None:
    """The powers that a column was made with come back, whether it was printed with 3 digits or all."""
    found = relation([f"{constant * lr**rate * size**width:.{digits}g}" for size, lr in GRID])

    assert found is not None
    assert found.of == tuple(name for name, power in (("lr", rate), ("width", width)) if power)
    for name, power in (("lr", rate), ("width", width)):
        if power:
            assert (name if power == 1 else f"{name}^{power:.4g}") in found.formula


@pytest.mark.parametrize(("base", "word"), [(2, "log2 of lr"), (10, "log10 of lr"), (math.e, "ln of lr")])
def test_logarithms_are_found(base: float, word: str) -> None:
    """With 3 decimals, as people print them."""
    found = relation([f"{math.log(lr, base):.3f}" for _, lr in GRID])

    assert found is not None
    assert found.formula == word


def test_a_whole_number_of_steps_is_a_tenth_of_another() -> None:
    """Steps that were cut to whole numbers: 305 has a warm-up of 30."""
    steps = [300, 305, 411, 523, 618, 777, 912]
    found = function_of("warmup", numbers([step // 10 for step in steps]), {"steps": numbers(steps)})

    assert found is not None
    assert found.formula.endswith("x steps")


def test_independent_columns_are_no_functions() -> None:
    """Of 300 random settings, rounded to 1 to 3 digits or drawn from few values, none follows from rate and width."""
    generator = np.random.default_rng(7)
    for trial in range(300):
        drawn = np.exp(generator.uniform(-4, 0, len(GRID)))
        few = generator.choice([0.0, 0.1, 0.2], len(GRID))
        cells: list[Cell] = [f"{value:.{trial % 3 + 1}g}" for value in (few if trial % 4 == 3 else drawn).tolist()]
        assert relation(cells) is None


def test_few_points_prove_nothing() -> None:
    """Three rates and any three values lie on many curves."""
    assert function_of("wd", numbers([0.1, 0.2, 0.4]), {"lr": numbers([0.01, 0.02, 0.04])}) is None


def test_the_same_point_with_two_values_is_no_function() -> None:
    """One rate with two decays: the decay is free."""
    rates = [0.01, 0.02, 0.04, 0.08, 0.16, 0.01]
    assert function_of("wd", numbers([0.1, 0.2, 0.4, 0.8, 1.6, 0.3]), {"lr": numbers(rates)}) is None


@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        ("2.76e-3", 1e-5),
        ("300", 1),
        ("18.627", 1e-3),
        (0.25, 0.01),
        (" 1.50 ", 0.01),
        ("text", 0),
        ("nan", 0),
        (None, 0),
    ],
)
def test_the_last_digit_that_was_written(cell: Cell, unit: float) -> None:
    """Trailing zeros count, text has none."""
    assert last_place(cell) == pytest.approx(unit)


@pytest.mark.parametrize(
    ("cells", "same"),
    [
        (("2.762e-3", "2.76e-3"), {0.00276: 0.002762}),
        (("0.0009765625", "0.000977", "0.00098"), {0.000977: 0.0009765625, 0.00098: 0.0009765625}),
        ((0.002762, 0.002762000076472759), {0.002762: 0.002762000076472759}),  # 64 and 32 bits
        (("0.003", "0.0028"), {}),  # a grid, although 0.0028 rounds to 0.003
        (("0.0100", "0.0101"), {}),
        (("1e-3", "2e-3", "3e-3"), {}),
    ],
)
def test_one_value_written_twice(cells: tuple[Cell, ...], same: dict[float, float]) -> None:
    """The one with the most digits stands for all; what runs of one seed have side by side stays apart."""
    values = np.array([float(cell or 0) for cell in cells])

    assert one_value(values, cells, [("w", number) for number in range(len(cells))]) == pytest.approx(same)
    assert one_value(values, cells, [("w", 0)] * len(cells)) == {}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("_step", ColumnKind.PROGRESS),
        ("summary.train/global_step", ColumnKind.PROGRESS),
        ("tokens_seen", ColumnKind.PROGRESS),
        ("config.lr_decay", ColumnKind.SETTING),
        ("config.output_dir", ColumnKind.BOOKKEEPING),
        ("config.dataset.path", ColumnKind.SETTING),
        ("train_data_dir", ColumnKind.UNKNOWN),
        ("grad_norm", ColumnKind.MEASURED),
        ("train/grad_norm", ColumnKind.MEASURED),
        ("max_grad_norm", ColumnKind.UNKNOWN),
        ("clip_grad_norm", ColumnKind.SETTING),
        ("norm_type", ColumnKind.UNKNOWN),
        ("train_loss", ColumnKind.MEASURED),
        ("aux_loss_weight", ColumnKind.UNKNOWN),
        ("peak_mem_gb", ColumnKind.MEASURED),
        ("_runtime", ColumnKind.CLOCK),
        ("Created", ColumnKind.CLOCK),
        ("weight_decay", ColumnKind.SETTING),
        ("batch_size", ColumnKind.SETTING),
        ("n_params", ColumnKind.PARAMETERS),
        ("total_flops", ColumnKind.COMPUTE),
        ("data_seed", ColumnKind.SEED),
        ("git_commit", ColumnKind.CIRCUMSTANCE),
        ("hostname", ColumnKind.BOOKKEEPING),
        ("use_mup", ColumnKind.SETTING),
        ("Name", ColumnKind.UNKNOWN),
    ],
)
def test_what_a_name_says(name: str, kind: ColumnKind) -> None:
    """Where it says nothing, the cells decide."""
    assert column_kind(name) is kind
