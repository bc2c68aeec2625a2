"""Where a page of calls ends, so that a log of any size is read in the memory of a page."""

from __future__ import annotations

from typing import NamedTuple

PAGE = 200
"""Records of one page: at a few KB each they fit into a megabyte."""


class PagePosition(NamedTuple):
    """A call's position in the order of the log: by start, then by id."""

    started_at: float
    id: str
