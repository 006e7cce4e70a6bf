"""A graph as a picture: Mermaid, Graphviz's DOT, SVG.

Mermaid and DOT are text and need nothing. The SVG is complete: no fonts, scripts, styles or identifiers that
the page around it could collide with, on a white ground of its own so that it reads on dark pages too.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

from ..._terminal import columns
from .layout import Link, Route, Size, arrange
from .picture import Arrow, Box, Picture


class _Paint(NamedTuple):
    fill: str
    stroke: str
    text: str


class _Pen(NamedTuple):
    color: str
    width: float
    dashes: str
    name: str


_TONES = {
    "plain": _Paint("#f4f7fc", "#5b7db1", "#1b2a41"),
    "end": _Paint("#f5f5f5", "#8a8a8a", "#333333"),
    "failed": _Paint("#fdecea", "#c62828", "#8e1b1b"),
    "absent": _Paint("#ffffff", "#bbbbbb", "#777777"),
}
_DIM = "#6b7480"
_PENS = {
    "data": _Pen("#3d4f6b", 1.4, "", "data"),
    "control": _Pen("#9a4d00", 1.4, "6 4", "control: decides that the call takes place"),
    "inferred": _Pen("#999999", 1.4, "1.5 3.5", "inferred: a guess from the order"),
    "given": _Pen("#bcc3cc", 1.0, "", "the program's input"),
}
_FONT = "font-family=\"'DejaVu Sans', Verdana, Arial, sans-serif\""
_TITLE, _SMALL = 13.0, 10.5
_HEIGHTS = (28.0, 44.0)
_LOOP = 26.0


class Drawn:
    """What can be drawn; a subclass says which boxes and arrows."""

    def picture(self) -> Picture:
        """The boxes and arrows."""
        raise NotImplementedError

    def to_mermaid(self) -> str:
        """The graph as a Mermaid flowchart, as GitHub and JupyterLab render it; without a fence."""
        return _flowchart(self.picture())

    def to_dot(self) -> str:
        """The graph in Graphviz's language."""
        return _digraph(self.picture())

    def to_svg(self) -> str:
        """The graph as a picture from top to bottom: one SVG element; sizes in pixels.

        Raises:
            ImportError: If igraph (the extra `drawing`) is not installed.
        """
        return _svg(self.picture())

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            return {"text/plain": str(self), "image/svg+xml": self.to_svg()}
        except ImportError:
            return {"text/plain": str(self), "text/vnd.mermaid": self.to_mermaid()}


def _flowchart(shown: Picture) -> str:
    lines = ["flowchart TD"]
    for at, box in enumerate(shown.boxes):
        # An element before the second line keeps "1. " or "- " at its start from becoming a list.
        detail = f"<br/><small>{_mermaid_text(box.detail)}</small>" if box.detail else ""
        left, right = ('(["', '"])') if box.tone == "end" else ('("', '")')
        lines.append(f"    n{at}{left}{_mermaid_text(box.title)}{detail}{right}:::{box.tone}Box")
    for arrow in shown.arrows:
        label = arrow.label or ("decides" if arrow.kind == "control" else "")
        text = f'|"{_mermaid_text(label)}"|' if label else ""
        line = "-->" if arrow.kind in ("data", "given") else "-.->"
        lines.append(f"    n{arrow.source} {line}{text} n{arrow.target}")
    lines += [f'    note{at}["{_mermaid_text(note)}"]:::absentBox' for at, note in enumerate(shown.notes)]
    for tone, paint in _TONES.items():
        lines.append(f"    classDef {tone}Box fill:{paint.fill},stroke:{paint.stroke},color:{paint.text}")
    for kind, pen in _PENS.items():
        places = [str(at) for at, arrow in enumerate(shown.arrows) if arrow.kind == kind]
        if places:
            dashes = f",stroke-dasharray:{pen.dashes}" if pen.dashes else ""
            style = f"stroke:{pen.color},stroke-width:{pen.width}px{dashes}"
            lines.append(f"    linkStyle {','.join(places)} {style}")
    return "\n".join(lines) + "\n"


def _digraph(shown: Picture) -> str:
    lines = [
        "digraph {",
        '    graph [rankdir=TB, bgcolor=white, fontname="sans-serif", fontsize=10, labelloc=b, '
        f"label={_dot_text(shown.notes)}]",
        '    node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=12]',
        '    edge [fontname="sans-serif", fontsize=10]',
    ]
    for at, box in enumerate(shown.boxes):
        paint = _TONES[box.tone]
        style = f'fillcolor="{paint.fill}", color="{paint.stroke}", fontcolor="{paint.text}"'
        lines.append(f"    n{at} [label={_dot_box(box)}, {style}]")
    for arrow in shown.arrows:
        pen = _PENS[arrow.kind]
        style = f'color="{pen.color}", fontcolor="{_DIM}", penwidth={_width(arrow):.1f}'
        style += {"control": ", style=dashed, dir=both, arrowtail=diamond", "inferred": ", style=dotted"}.get(
            arrow.kind, ""
        )
        label = f", label={_dot_text((arrow.label,))}" if arrow.label else ""
        lines.append(f"    n{arrow.source} -> n{arrow.target} [{style}{label}]")
    return "\n".join([*lines, "}"]) + "\n"


def _svg(shown: Picture) -> str:
    loops = {arrow.source: arrow for arrow in shown.arrows if arrow.source == arrow.target}
    ways = [arrow for arrow in shown.arrows if arrow.source != arrow.target]
    sizes = [_size(box, loops.get(at)) for at, box in enumerate(shown.boxes)]
    links = [
        Link(arrow.source, arrow.target, f"{arrow.kind} {arrow.label}", _text_width(arrow.label, _SMALL))
        for arrow in ways
    ]
    layout = arrange(sizes, links)
    footer = list(_footer(shown, layout.height))
    width = max(layout.width, *(32 + _text_width(text, _SMALL) + 40 for text in _footer_texts(shown)), 120)
    height = layout.height + 18 * len(footer) + (8 if footer else 0)
    # The thin grey lines first: what matters more is drawn over them.
    drawn = sorted(
        zip(ways, layout.routes, strict=True), key=lambda pair: (pair[0].kind != "given", pair[0].kind == "data")
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" {_FONT}>',
        f"<title>Graph of {len(shown.boxes)} boxes and {len(shown.arrows)} arrows</title>",
        f'<rect width="{width:g}" height="{height:g}" rx="6" fill="#ffffff"/>',
        *(part for arrow, route in drawn for part in _way(arrow, route)),
        *(part for at, arrow in loops.items() for part in _loop(arrow, sizes[at], layout.centres[at])),
        *(
            part
            for box, size, at in zip(shown.boxes, sizes, layout.centres, strict=True)
            for part in _box(box, size, at)
        ),
        *(part for arrow, route in drawn for part in _label(arrow, route)),
        *footer,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _mermaid_text(text: str) -> str:
    # Its parser, its Markdown and the page's HTML all see a label: only what none of them reads stays as it is.
    return "".join(char if char.isalnum() or char in " _-.,()[]/→…+%" else f"#{ord(char)};" for char in text)


def _dot_text(lines: tuple[str, ...]) -> str:
    text = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    # Graphviz reads HTML entities in quoted strings too.
    return f'"{text.replace("&", "&amp;")}"'


def _dot_box(box: Box) -> str:
    detail = f'<BR/><FONT COLOR="{_DIM}" POINT-SIZE="10">{escape(box.detail)}</FONT>' if box.detail else ""
    return f"<{escape(box.title)}{detail}>"


def _text_width(text: str, size: float) -> float:
    """The width of a text in pixels, from above: fonts differ, and too much room is better than too little."""
    narrow, wide = "iljI.,:;'|!()[]{}tfr ", "mwMW@%→…—"
    ems = (
        1.05 * 2 if columns(char) == 2 else 0.42 if char in narrow else 0.95 if char in wide else 0.66 for char in text
    )
    return size * sum(min(em, 1.4) for em in ems)


def _width(arrow: Arrow) -> float:
    return _PENS[arrow.kind].width * (0.6 + 0.7 * arrow.share)


def _size(box: Box, loop: Arrow | None) -> Size:
    text = max(_text_width(box.title, _TITLE), _text_width(box.detail, _SMALL))
    beside = _LOOP + 8 + _text_width(loop.label, _SMALL) if loop else 0.0
    return Size(max(72.0, text + 20), _HEIGHTS[bool(box.detail)], beside)


def _box(box: Box, size: Size, centre: tuple[float, float]) -> Iterator[str]:
    (x, y), paint = centre, _TONES[box.tone]
    dashes = ' stroke-dasharray="4 3"' if box.tone == "absent" else ""
    radius = size.height / 2 if box.tone == "end" else 7
    yield f"<g><title>{escape(box.tip or box.title)}</title>"
    yield (
        f'<rect x="{x - size.width / 2:g}" y="{y - size.height / 2:g}" width="{size.width:g}" height="{size.height:g}" '
        f'rx="{radius:g}" fill="{paint.fill}" stroke="{paint.stroke}" stroke-width="1.2"{dashes}/>'
    )
    line = y - 3 if box.detail else y + 4.5
    yield _text(box.title, x, line, _TITLE, paint.text)
    if box.detail:
        yield _text(box.detail, x, y + 14, _SMALL, paint.text if box.tone == "failed" else _DIM)
    yield "</g>"


def _text(text: str, x: float, y: float, size: float, color: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'


def _way(arrow: Arrow, route: Route) -> Iterator[str]:
    pen, pieces = _PENS[arrow.kind], route.pieces
    down = 1 if pieces[-1][2] > pieces[0][1] else -1
    x, y = pieces[-1][0], pieces[-1][2]
    start = (pieces[0][0], pieces[0][1])
    steps = [f"M{start[0]:g} {start[1]:g}", f"V{pieces[0][2]:g}"]
    at = pieces[0][0], pieces[0][2]
    for place, enter, leave in pieces[1:]:
        last = leave == y and place == x
        half = (at[1] + enter) / 2
        enter, leave = (enter - down * 6 if last and enter == y else enter), (leave - down * 6 if last else leave)
        steps.append(f"C{at[0]:g} {half:g} {place:g} {half:g} {place:g} {enter:g}")
        if leave != enter:
            steps.append(f"V{leave:g}")
        at = place, leave
    dashes = f' stroke-dasharray="{pen.dashes}"' if pen.dashes else ""
    yield f"<g><title>{escape(arrow.tip)}</title>"
    yield f'<path d="{"".join(steps)}" fill="none" stroke="{pen.color}" stroke-width="{_width(arrow):.2g}"{dashes}/>'
    yield f'<path d="M{x:g} {y:g}l-3.6 {-7 * down}h7.2z" fill="{pen.color}"/>'
    if arrow.kind == "control":
        yield f'<path d="M{start[0]:g} {start[1]:g}l-4 {6 * down}l4 {6 * down}l4 {-6 * down}z" fill="{pen.color}"/>'
    yield "</g>"


def _label(arrow: Arrow, route: Route) -> Iterator[str]:
    if route.label and arrow.label:
        (x, y), width = route.label, _text_width(arrow.label, _SMALL)
        color = "#9aa1aa" if arrow.kind == "given" else _PENS["control"].color if arrow.kind == "control" else _DIM
        yield f'<rect x="{x - width / 2:g}" y="{y - 7:g}" width="{width:g}" height="14" fill="#ffffff"/>'
        yield _text(arrow.label, x, y + 3.8, _SMALL, color)


def _loop(arrow: Arrow, size: Size, centre: tuple[float, float]) -> Iterator[str]:
    pen, x, y = _PENS[arrow.kind], centre[0] + size.width / 2, centre[1]
    dashes = f' stroke-dasharray="{pen.dashes}"' if pen.dashes else ""
    yield f"<g><title>{escape(arrow.tip)}</title>"
    yield (
        f'<path d="M{x:g} {y - 8:g}C{x + _LOOP + 6:g} {y - 20:g} {x + _LOOP + 6:g} {y + 20:g} {x + 6:g} {y + 8:g}" '
        f'fill="none" stroke="{pen.color}" stroke-width="{_width(arrow):.2g}"{dashes}/>'
    )
    yield f'<path d="M{x:g} {y + 8:g}l7 -3.6v7.2z" fill="{pen.color}"/></g>'
    if arrow.label:
        yield _text(arrow.label, x + _LOOP + 4, y + 3.8, _SMALL, _DIM, "start")


def _footer_texts(shown: Picture) -> list[str]:
    there = list(shown.kinds())
    return [*([_PENS[kind].name for kind in there] if len(there) > 1 else []), *shown.notes]


def _footer(shown: Picture, top: float) -> Iterator[str]:
    there = list(shown.kinds())
    y = top + 4
    for kind in there if len(there) > 1 else []:
        pen = _PENS[kind]
        dashes = f' stroke-dasharray="{pen.dashes}"' if pen.dashes else ""
        yield (
            f'<path d="M16 {y:g}h26" stroke="{pen.color}" stroke-width="{pen.width:g}"{dashes}/>'
            + _text(pen.name, 50, y + 3.8, _SMALL, _DIM, "start")
        )
        y += 18
    for note in shown.notes:
        yield _text(note, 16, y + 3.8, _SMALL, _DIM, "start")
        y += 18
