"""The product's static replay against the naive oracle: two authors read one page, and every figure must be equal.

Belongs here: the comparison on random cells, exact, per shock kind and side. Does not: what the right answer is
(``test_oracle_self.py`` holds the oracle to the closed forms), nor how the product computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from random import Random

import pytest
from cascade_oracle import KINDS, SIDES, Cell, OracleOutcome, random_cell, shrink

from assets.cascade.simulate import Book, Fuel, Scenario, replay_static


def scenario_of(cell: Cell) -> Scenario:
    """Return the cell's shock in the product's words."""
    return Scenario(
        shock_frac=cell.shock_frac,
        shock_kind=cell.shock_kind,
        side=cell.side,
        depth_survival_frac=cell.w,
        sold_share_frac=cell.phi,
    )


def product(cell: Cell, scenarios: list[Scenario]) -> list[OracleOutcome]:
    """Ask the product about the cell's book and fuel, and keep the fields that the oracle has."""
    outcomes = replay_static(cell.mark_ticks, Book(*cell.book_arrays()), Fuel(*cell.fuel_arrays()), scenarios)
    return [OracleOutcome(**{f.name: getattr(o, f.name) for f in fields(OracleOutcome)}) for o in outcomes]


def differs(cell: Cell) -> bool:
    """Say whether product and oracle part on the cell; a product that refuses it parts too."""
    try:
        return product(cell, [scenario_of(cell)]) != [cell.oracle()]
    except (ValueError, TypeError, ArithmeticError, IndexError):
        return True


def report(cell: Cell) -> str:
    """Return the shrunk cell with both answers, one field a line."""
    small = shrink(cell, differs)
    lines = ["smallest failing cell found (paste it as it stands):", f"  {small}"]
    try:
        (answer,) = product(small, [scenario_of(small)])
    except (ValueError, TypeError, ArithmeticError, IndexError) as error:
        return "\n".join([*lines, f"  the product refuses it: {error!r}", f"  oracle: {small.oracle()}"])
    truth = small.oracle()
    for f in fields(OracleOutcome):
        theirs, ours = getattr(answer, f.name), getattr(truth, f.name)
        mark = "" if theirs == ours else "   <-- differs"
        lines.append(f"  {f.name}: product {theirs!r}, oracle {ours!r}{mark}")
    return "\n".join(lines)


@pytest.mark.trial("static_cascade_vs_oracle")
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", KINDS)
def test_static_replay_equals_the_oracle_exactly(kind: str, side: str, trial_count: Callable[[int], int]) -> None:
    cells = trial_count(100_000)
    mismatch_count = 0
    smallest: Cell | None = None
    for i in range(cells):
        cell = random_cell(Random(f"agreement {kind} {side} {i}"), kind, side)
        if differs(cell):
            mismatch_count += 1
            if smallest is None or len(cell.buckets) + len(cell.rows) < len(smallest.buckets) + len(smallest.rows):
                smallest = cell
    assert smallest is None, f"{mismatch_count} of {cells} cells differ; {report(smallest)}"


@pytest.mark.trial("static_cascade_many_scenarios")
@pytest.mark.parametrize("side", SIDES)
def test_many_scenarios_in_one_call_equal_one_by_one(side: str, trial_count: Callable[[int], int]) -> None:
    for i in range(trial_count(2_000)):
        rng = Random(f"many {side} {i}")
        cell = random_cell(rng, "sell", side)
        # Other cells lend their shock, kind, W and phi; unsorted and with repeats, as a grid of scenarios may come.
        others = [random_cell(rng, rng.choice(KINDS), side) for _ in range(rng.randint(0, 24))]
        asked = [
            replace(cell, shock_frac=o.shock_frac, shock_kind=o.shock_kind, w=o.w, phi=o.phi)
            for o in [cell, *others, cell]
        ]
        together = product(cell, [scenario_of(one) for one in asked])
        assert len(together) == len(asked)
        for one, answer in zip(asked, together, strict=True):
            assert answer == product(one, [scenario_of(one)])[0], f"alone it differs: {one}"
            assert answer == one.oracle(), report(one)


def test_no_scenarios_give_no_outcomes() -> None:
    assert product(random_cell(Random("none"), "sell", "long"), []) == []
