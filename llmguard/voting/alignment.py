"""The assignment of least total cost: which element of one list goes with which of another."""

from __future__ import annotations

from collections.abc import Sequence

MAX_ALIGNED = 30
"""Elements on a side: the algorithm is cubic, and a list's length is the model's."""


def assignment(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs (row, column) of the least total cost, as many as the shorter side has. Hungarian algorithm by shortest
    augmenting paths with potentials (Kuhn, Munkres; Jonker and Volgenant).

    >>> assignment([[4, 1, 3], [2, 0, 5], [3, 2, 2]])
    [(0, 1), (1, 0), (2, 2)]
    """
    if not costs or not costs[0]:
        return []
    if len(costs) > len(costs[0]):
        return sorted((row, column) for column, row in assignment(list(zip(*costs, strict=True))))
    return _by_augmenting(costs)


def _by_augmenting(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    rows, columns = len(costs), len(costs[0])
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    row_of = [0] * (columns + 1)  # numbered from 1; 0 is free
    for row in range(1, rows + 1):
        row_of[0] = row
        _augment(costs, row_of, row_price, column_price)
    return sorted((row - 1, column - 1) for column, row in enumerate(row_of) if column and row)


def _augment(
    costs: Sequence[Sequence[float]], row_of: list[int], row_price: list[float], column_price: list[float]
) -> None:
    """Give the row that waits in column 0 a column, moving others along the cheapest path."""
    columns = len(column_price)
    least, before, used = [float("inf")] * columns, [0] * columns, [False] * columns
    here = 0
    while row_of[here]:
        used[here] = True
        row, step, there = row_of[here], float("inf"), 0
        for column in range(1, columns):
            if used[column]:
                continue
            reduced = costs[row - 1][column - 1] - row_price[row] - column_price[column]
            if reduced < least[column]:
                least[column], before[column] = reduced, here
            if least[column] < step:
                step, there = least[column], column
        for column in range(columns):
            if used[column]:
                row_price[row_of[column]] += step
                column_price[column] -= step
            else:
                least[column] -= step
        here = there
    while here:
        row_of[here] = row_of[before[here]]
        here = before[here]
