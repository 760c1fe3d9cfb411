"""Line charts in SVG, for the pictures in docs/."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 56, 72
COLORS = ("#0f6cbd", "#c4314b", "#498205", "#8764b8")
GRID, TEXT = "#d0d0d0", "#242424"
Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points of one line; `stepped` lines keep each value until the next point, and `dots` have no line."""

    label: str
    points: Sequence[Point]
    stepped: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Axis:
    """Label, and positions and texts of the marks. Values outside of the first and last mark are not drawn."""

    label: str
    marks: Sequence[tuple[float, str]]

    def scale(self, value: float, start: float, end: float) -> float:
        first, last = self.marks[0][0], self.marks[-1][0]
        return start + (value - first) / (last - first) * (end - start)


def line_chart(title: str, x_axis: Axis, y_axis: Axis, series: Sequence[Series]) -> str:
    """Return an SVG document."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
        f' font-family="sans-serif" font-size="13" fill="{TEXT}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        *_grid(x_axis, y_axis),
        *_legend(series),
    ]
    for color, line in zip(COLORS, series, strict=False):
        points = [(_x(x_axis, x), _y(y_axis, y)) for x, y in line.points]
        parts += _dots(points, color) if line.dots else [_path(points, line.stepped, color)]
    return "\n".join([*parts, "</svg>", ""])


def stack_charts(title: str, charts: Sequence[str]) -> str:
    """Return one SVG document with several charts, one below the other."""
    height = HEIGHT * len(charts)
    parts = [chart.replace("<svg ", f'<svg y="{HEIGHT * number}" ', 1) for number, chart in enumerate(charts)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])


def _x(axis: Axis, value: float) -> float:
    return axis.scale(value, LEFT, WIDTH - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return axis.scale(value, HEIGHT - BOTTOM, TOP)


def _grid(x_axis: Axis, y_axis: Axis) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value, text in y_axis.marks:
        y = _y(y_axis, value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    for value, text in x_axis.marks:
        x = _x(x_axis, value)
        parts.append(f'<path d="M{x:.1f} {bottom}v5" stroke="{TEXT}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{escape(text)}</text>')
    parts.append(f'<text x="{(LEFT + right) / 2}" y="{bottom + 40}" text-anchor="middle">{escape(x_axis.label)}</text>')
    middle = (TOP + bottom) / 2
    parts.append(
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{escape(y_axis.label)}</text>'
    )
    return parts


def _legend(series: Sequence[Series]) -> list[str]:
    parts, x = [], LEFT
    for color, line in zip(COLORS, series, strict=False):
        parts.append(f'<rect x="{x}" y="{HEIGHT - 18}" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{x + 18}" y="{HEIGHT - 7}">{escape(line.label)}</text>')
        x += 34 + 6 * len(line.label)
    return parts


def _path(points: Sequence[Point], stepped: bool, color: str) -> str:
    (first_x, first_y), *others = points
    steps = (f"H{x:.1f}V{y:.1f}" if stepped else f"L{x:.1f} {y:.1f}" for x, y in others)
    return f'<path d="M{first_x:.1f} {first_y:.1f}{"".join(steps)}" fill="none" stroke="{color}" stroke-width="2.5"/>'


def _dots(points: Sequence[Point], color: str) -> list[str]:
    return [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in points]
