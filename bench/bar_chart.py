"""A bar chart in SVG, for docs/benchmarks.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, ROW = 720, 230, 130, 48, 28
COLOR, OTHER, TEXT = "#0f6cbd", "#8a8886", "#242424"


@dataclass(frozen=True)
class Bar:
    """A value with its text; `is_other` marks what the project is compared with."""

    label: str
    value: float
    text: str
    is_other: bool = False


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Return an SVG document with horizontal bars."""
    height, largest = TOP + ROW * len(bars) + 8, max(bar.value for bar in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="sans-serif" font-size="14" fill="{TEXT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        y, length = TOP + ROW * number, (WIDTH - LEFT - RIGHT) * bar.value / largest
        parts += [
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{ROW - 8}"'
            f' fill="{OTHER if bar.is_other else COLOR}"/>',
            f'<text x="{LEFT + length + 8:.1f}" y="{y + 16}">{escape(bar.text)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
