"""The assignment of least total cost: which element of one list goes with which of another."""

from __future__ import annotations

from collections.abc import Sequence

MAX_ALIGNED = 30
"""Elements on a side: the algorithm is cubic, and a model decides how long a list is. 30 take about 1 ms."""


def assignment(costs: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """Pairs (row, column) of the least total cost, as many as the shorter side has. Hungarian algorithm by shortest
    augmenting paths with potentials (Kuhn 1955, Munkres 1957; Jonker and Volgenant, "A shortest augmenting path algorithm
    for dense and sparse linear assignment problems", 1987).

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
    at = 0
    while row_of[at]:
        used[at] = True
        row, step, following = row_of[at], float("inf"), 0
        for column in range(1, columns):
            if used[column]:
                continue
            reduced = costs[row - 1][column - 1] - row_price[row] - column_price[column]
            if reduced < least[column]:
                least[column], before[column] = reduced, at
            if least[column] < step:
                step, following = least[column], column
        for column in range(columns):
            if used[column]:
                row_price[row_of[column]] += step
                column_price[column] -= step
            else:
                least[column] -= step
        at = following
    while at:
        row_of[at] = row_of[before[at]]
        at = before[at]
