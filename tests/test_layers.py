"""The table of layers and what the design says of the whole: few places, few floors, and a picture that is true."""

from __future__ import annotations

from tests.layers import LAYERS, PICTURE, ROOT, boxes, draw, purpose


def test_the_picture_is_up_to_date() -> None:
    """It shows the table and the packages' own words. `python -m tests.layers` draws it anew."""
    assert PICTURE.read_text(encoding="utf-8") == draw()


def test_every_package_is_in_the_picture_and_says_what_it_is_for() -> None:
    """In its first sentence."""
    shown = [name for _, names in boxes() for name in names]
    assert sorted(shown) == sorted(path.parent.name for path in (ROOT / "llmguard").glob("*/__init__.py"))
    assert [name for name in shown if not 10 <= len(purpose(name)) <= 160] == []


def test_the_package_has_few_entries_on_few_floors() -> None:
    """At most 24 at the top, on at most 12 floors: a stranger sees the whole at once."""
    entries = [path.name for path in (ROOT / "llmguard").iterdir() if path.name != "__pycache__"]
    assert (len(entries) <= 24, len(LAYERS) <= 12) == (True, True)
