"""The table of layers, and its picture: `python -m tests.layers` draws docs/layers.svg anew.

`LAYERS` is the map of the package: a module imports from lower numbers, or from its own number without a cycle. What the
picture says of a package is the first sentence of its docstring.
"""

from __future__ import annotations

import ast
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "layers.svg"

LAYERS: dict[int, tuple[str, ...]] = {
    0: ("core",),  # nouns and the one encoder
    1: ("values", "prompts"),
    2: ("schema", "parsing"),
    3: ("voting",),
    4: ("engine",),  # how a call is decided
    5: ("certification",),
    6: ("models", "runtime", "log"),  # the world
    7: ("guard", "replay"),
    8: ("checks", "operations", "testing"),
    9: ("batch", "server"),  # not built yet
    10: ("cli", "__main__"),
    11: ("__init__",),  # the public names, which nothing inside the package imports
}
LAST_PURE_LAYER = 5

BANDS = (
    (range(6), "#e6f4ea", "#1e6b3a", "pure: no I/O, no clock, no randomness"),
    (range(6, 7), "#e3eefb", "#1c4f8f", "the world: network, threads, database, time"),
    (range(7, 12), "#fbf3de", "#7a5a10", "what people use: a guard, its log, its commands"),
)
WIDTH, LEFT, GAP, LINE, PAD = 1060, 44, 12, 15, 9
TEXT_WIDTH = 6.05  # of a character at 11 px, on average


def purpose(package: str) -> str:
    """The first sentence of a package's docstring."""
    source = (ROOT / "llmguard" / package / "__init__.py").read_text(encoding="utf-8")
    text = " ".join((ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".").replace("`", "")


def boxes() -> list[tuple[int, tuple[str, ...]]]:
    """The layers that are built, each with its packages; modules at the top are no boxes."""
    built = {path.parent.name for path in (ROOT / "llmguard").glob("*/__init__.py")}
    rows = [(layer, tuple(name for name in names if name in built)) for layer, names in LAYERS.items()]
    return [row for row in rows if row[1]]


def draw() -> str:
    """The picture as SVG: layer 0 at the top, and imports only go up."""
    body, y = [], 34
    for band, fill, ink, title in BANDS:
        top = y
        rows = []
        for layer, names in boxes():
            if layer in band:
                row, height = draw_row(layer, names, y + 26, ink)
                rows += row
                y += height + GAP
        y += 22
        body.append(f'<rect x="0" y="{top}" width="{WIDTH}" height="{y - top - 4}" rx="10" fill="{fill}"/>')
        body.append(
            f'<text x="14" y="{top + 18}" font-size="12" font-style="italic" fill="{ink}">{escape(title)}</text>'
        )
        body += rows
        y += 6
    head = "A module imports only from its own layer and from the layers above it in this picture (smaller numbers)."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
            ' font-family="Helvetica, Arial, sans-serif">',
            f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
            f'<text x="14" y="20" font-size="13" fill="#333333">{escape(head)}</text>',
            *body,
            "</svg>\n",
        ]
    )


def draw_row(layer: int, names: tuple[str, ...], y: int, ink: str) -> tuple[list[str], int]:
    width = (WIDTH - LEFT - GAP * len(names) - 4) / len(names)
    texts = {name: textwrap.wrap(purpose(name), int((width - 2 * PAD) / TEXT_WIDTH)) for name in names}
    height = 24 + LINE * max(map(len, texts.values())) + PAD
    drawn = [f'<text x="16" y="{y + 20}" font-size="15" fill="{ink}">{layer}</text>']
    for number, name in enumerate(names):
        x = LEFT + number * (width + GAP)
        drawn.append(
            f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="6" fill="#ffffff" stroke="{ink}"/>'
        )
        drawn.append(f'<text x="{x + PAD:.0f}" y="{y + 19}" font-size="14" font-weight="bold">{escape(name)}</text>')
        for row, line in enumerate(texts[name]):
            drawn.append(
                f'<text x="{x + PAD:.0f}" y="{y + 36 + row * LINE}" font-size="11" fill="#333333">{escape(line)}</text>'
            )
    return drawn, height


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
