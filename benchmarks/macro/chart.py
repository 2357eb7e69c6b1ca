"""Bars of figures as SVG, for light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABELS, RIGHT = 860, 300, 70
BAR, GAP, TOP = 16, 8, 74
STYLE = """
  .page { fill: #ffffff; }
  text { font: 13px system-ui, sans-serif; fill: #1b1f24; }
  .title { font-size: 16px; font-weight: 600; }
  .small { font-size: 11px; fill: #57606a; }
  .rule { stroke: #d0d7de; }
  .goal { stroke: #b42318; stroke-width: 2; }
  .k0 { fill: #2563a8; } .k1 { fill: #d08a1d; } .k2 { fill: #5f8a4c; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } text { fill: #e6edf3; } .small { fill: #9aa4af; } .rule { stroke: #3d444d; } .goal { stroke: #ff7b72; }
    .k0 { fill: #6cb0ff; } .k1 { fill: #f0b453; } .k2 { fill: #8fc47a; }
  }
"""


@dataclass(frozen=True)
class Bar:
    """One row: parts that add up, by their kind, and the most that the sum may be."""

    label: str
    parts: dict[str, float]
    goal: float | None = None

    @property
    def total(self) -> float:
        """Of all parts."""
        return sum(self.parts.values())


def chart(title: str, subtitle: str, unit: str, bars: list[Bar]) -> str:
    """The drawing. Kinds get colours in the order in which they appear, three at the most."""
    kinds = list(dict.fromkeys(kind for bar in bars for kind in bar.parts))
    if len(kinds) > 3:
        raise ValueError(f"there are colours for three kinds, and these are {len(kinds)}: {', '.join(kinds)}")
    step = _step(max([*(bar.total for bar in bars), *(bar.goal or 0 for bar in bars), 0.0]))
    ticks = int(max([bar.total for bar in bars] + [bar.goal or 0 for bar in bars], default=0) / step) + 1
    scale = (WIDTH - LABELS - RIGHT) / (ticks * step)
    height = TOP + len(bars) * (BAR + GAP) + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
           f'role="img" aria-label="{_quoted(title)}">',
           f"<style>{STYLE}</style>", f'<rect class="page" width="{WIDTH}" height="{height}"/>',
           f'<text class="title" x="8" y="20">{escape(title)}</text>',
           f'<text class="small" x="8" y="38">{escape(subtitle)}</text>']
    out += _legend(kinds, any(bar.goal is not None for bar in bars))
    bottom = TOP + len(bars) * (BAR + GAP)
    for tick in range(ticks + 1):
        x = LABELS + tick * step * scale
        out.append(f'<line class="rule" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick * step:g}</text>')
    out.append(f'<text class="small" x="{WIDTH - RIGHT}" y="{bottom + 32}" text-anchor="end">{escape(unit)}</text>')
    for number, bar in enumerate(bars):
        out += _bar(bar, kinds, TOP + number * (BAR + GAP), scale)
    return "\n".join([*out, "</svg>"]) + "\n"


def _bar(bar: Bar, kinds: list[str], y: int, scale: float) -> list[str]:
    middle = y + BAR - 4
    out = [f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{escape(bar.label)}</text>']
    x = float(LABELS)
    for kind, value in bar.parts.items():
        out.append(f'<rect class="k{kinds.index(kind)}" x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="{BAR}">'
                   f"<title>{escape(kind)}: {value:.2f}</title></rect>")
        x += value * scale
    if bar.goal is not None:
        at = LABELS + bar.goal * scale
        out.append(f'<line class="goal" x1="{at:.1f}" y1="{y - 3}" x2="{at:.1f}" y2="{y + BAR + 3}"/>')
        x = max(x, at) if abs(x - at) < 40 and at > x else x
    out.append(f'<text x="{x + 6:.1f}" y="{middle}">{bar.total:.2f}</text>')
    return out


def _legend(kinds: list[str], has_goals: bool) -> list[str]:
    out, x = [], LABELS
    for number, kind in enumerate(kinds):
        out.append(f'<rect class="k{number}" x="{x}" y="46" width="12" height="12"/>')
        out.append(f'<text class="small" x="{x + 17}" y="56">{escape(kind)}</text>')
        x += 32 + 7 * len(kind)
    if has_goals:
        out.append(f'<line class="goal" x1="{x + 2}" y1="45" x2="{x + 2}" y2="59"/>')
        out.append(f'<text class="small" x="{x + 10}" y="56">goal: at most</text>')
    return out


def _step(most: float) -> float:
    """One, two or five times a power of ten, so that there are at most ten."""
    step = 1e-3
    while True:
        for factor in (1, 2, 5):
            if most / (step * factor) <= 10:
                return step * factor
        step *= 10


def _quoted(text: str) -> str:
    return escape(text, {'"': "&quot;"})
