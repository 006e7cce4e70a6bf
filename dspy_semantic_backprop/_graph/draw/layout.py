"""Where to draw: layers by igraph, positions without overlap, arrows routed between the boxes.

Why invisible vertices of our own, in every layer that an arrow crosses and in a layer of its own for the
labels: whatever has a place in a layer is kept apart from its neighbours there, so neither an arrow nor a
label can run through a box. igraph orders the layers with few crossings; it knows no widths, so the
positions along a layer are found here, as close to the neighbours above and below as the widths allow.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_MARGIN = 16.0
_BOX_GAP, _LINE_GAP, _PORT_GAP = 22.0, 12.0, 11.0
_LABEL_HEIGHT = 14.0
_SWEEPS, _SETTLING, _SORTINGS = 24, 16, 8


@dataclass(frozen=True)
class Size:
    """What a box takes, in pixels; `beside` must stay free to its right, for an arrow to itself."""

    width: float
    height: float
    beside: float = 0.0


@dataclass(frozen=True)
class Link:
    """An arrow to be routed between two positions among the boxes.

    Arrows of one source and one family leave it as one line and part later; `label` is the width of the label beside
    it, in pixels, 0 for none.
    """

    source: int
    target: int
    family: str = ""
    label: float = 0.0


@dataclass(frozen=True)
class Route:
    """The way of an arrow: vertical pieces (x, from y, to y), joined by curves in the free space between layers.

    The middle of its label is None without one, or where another arrow of the family carries it.
    """

    pieces: tuple[tuple[float, float, float], ...]
    label: tuple[float, float] | None = None


@dataclass(frozen=True)
class Layout:
    """Positions in pixels from the upper left corner: the middle of each box, the way of each arrow, the whole."""

    centres: tuple[tuple[float, float], ...]
    routes: tuple[Route, ...]
    width: float
    height: float


@dataclass
class _Grid:
    """Boxes and invisible vertices in layers; boxes come first and stand in even layers."""

    layer: list[int]
    left: list[float]
    right: list[float]
    chains: list[tuple[int, ...]] = field(default_factory=list)
    above: list[dict[int, float]] = field(default_factory=list)
    below: list[dict[int, float]] = field(default_factory=list)
    labelled: set[int] = field(default_factory=set)

    def add(self, layer: int, label: float = 0.0) -> int:
        self.layer.append(layer)
        self.left.append(max(1.0, label / 2))
        self.right.append(max(1.0, label / 2))
        self.above.append({})
        self.below.append({})
        return len(self.layer) - 1

    def join(self, upper: int, lower: int, weight: float) -> None:
        self.below[upper][lower] = self.above[lower][upper] = weight

    def rows(self, order: Sequence[float]) -> list[list[int]]:
        rows: list[list[int]] = [[] for _ in range(max(self.layer, default=-1) + 1)]
        for vertex in sorted(range(len(self.layer)), key=lambda vertex: (order[vertex], vertex)):
            rows[self.layer[vertex]].append(vertex)
        return rows


def arrange(sizes: Sequence[Size], links: Sequence[Link]) -> Layout:
    """Place boxes in layers from top to bottom, and route arrows between them; the same for the same arguments.

    The boxes stand in the order in which they should come; the last one gets a layer below all others. An arrow to an
    earlier box is drawn upwards.

    Raises:
        ImportError: If igraph is not installed.
    """
    grid = _grid(sizes, links)
    rows = _best_rows(grid, len(sizes))
    x = _across(grid, rows)
    placed = _Placed(sizes, grid, x, _down(grid, rows, x, sizes), _ports(grid, x, sizes))
    return placed.layout(links)


def _grid(sizes: Sequence[Size], links: Sequence[Link]) -> _Grid:
    grid = _Grid([], [], [])
    for row, size in zip(_rows_of_boxes(len(sizes), links), sizes, strict=True):
        box = grid.add(2 * row)
        grid.left[box], grid.right[box] = size.width / 2, size.width / 2 + size.beside
    trunks: dict[tuple[int, int, str], list[int]] = {}
    for link in links:
        upper, lower = sorted((link.source, link.target))
        downwards = link.source == upper
        trunk = trunks.setdefault((upper, -1 if downwards else lower, link.family), [])
        top, bottom = grid.layer[upper] + 1, grid.layer[lower] - 1
        for layer in range(top + len(trunk), bottom + 1):
            vertex = grid.add(layer, label=0.0 if trunk else link.label)
            if trunk:
                # Where a line may part, it should stand amid its targets; further on it should be straight.
                grid.join(trunk[-1], vertex, 8.0 if len(trunk) > 1 else 2.0)
            else:
                grid.join(upper, vertex, 2.0)
                grid.labelled |= {vertex} if link.label else set()
            trunk.append(vertex)
        chain = trunk[: bottom - top + 1]
        grid.join(chain[-1], lower, 2.0)
        grid.chains.append(tuple(chain))
    return grid


def _rows_of_boxes(boxes: int, links: Sequence[Link]) -> list[int]:
    rows = [0] * boxes
    for upper, lower in sorted({(min(link.source, link.target), max(link.source, link.target)) for link in links}):
        rows[lower] = max(rows[lower], rows[upper] + 1)
    if boxes > 1:
        rows[-1] = max(rows[-1], max(rows[:-1]) + 1)
    return rows


def _order(grid: _Grid) -> list[float]:
    try:
        import igraph
    except ImportError as error:
        raise ImportError(
            "drawing as SVG needs igraph: pip install 'dspy-semantic-backprop[drawing]' (Mermaid and DOT need nothing)"
        ) from error
    pairs = [(upper, lower) for upper, others in enumerate(grid.below) for lower in others]
    graph = igraph.Graph(n=len(grid.layer), edges=pairs, directed=True)
    placed = graph.layout_sugiyama(layers=grid.layer, weights=[1] * len(pairs), maxiter=100)
    return [point[0] for point in placed.coords[: len(grid.layer)]]


def _best_rows(grid: _Grid, boxes: int) -> list[list[int]]:
    found = grid.rows(_order(grid))
    natural = min(_natural(grid, boxes, found), key=lambda rows: _crossings(grid, rows))
    siblings = [[vertex for vertex in row if vertex < boxes] for row in found]
    # Siblings in their own order are easier to read than in any other, even at the price of a few crossings.
    price = 1.0 if all(row == sorted(row) for row in siblings) else 1.2
    return natural if _crossings(grid, natural) < price * _crossings(grid, found) + price - 1 else found


def _natural(grid: _Grid, boxes: int, rows: list[list[int]]) -> Iterator[list[list[int]]]:
    """Orders in which the boxes of every layer keep their own order, and lines are sorted around them."""
    for sweep in range(_SORTINGS):
        place = {vertex: at - (len(row) - 1) / 2 for row in rows for at, vertex in enumerate(row)}
        key = []
        for vertex in range(len(grid.layer)):
            ends = (grid.above, grid.below)[sweep % 2][vertex] or grid.above[vertex] or grid.below[vertex]
            key.append(sum(place[end] for end in ends) / len(ends) if ends else place[vertex])
        rows = grid.rows(key)
        for row in rows:
            slots = [at for at, vertex in enumerate(row) if vertex < boxes]
            for at, vertex in zip(slots, sorted(row[at] for at in slots), strict=True):
                row[at] = vertex
        yield rows


def _crossings(grid: _Grid, rows: list[list[int]]) -> int:
    at = {vertex: place for row in rows for place, vertex in enumerate(row)}
    crossings = 0
    for row in rows:
        ends: list[int] = []
        for vertex in row:
            targets = sorted(at[end] for end in grid.below[vertex])
            crossings += sum(len(ends) - bisect.bisect_right(ends, target) for target in targets)
            for target in targets:
                bisect.insort(ends, target)
    return crossings


def _across(grid: _Grid, rows: list[list[int]]) -> list[float]:
    x = [0.0] * len(grid.layer)
    for row in rows:
        for vertex, place in zip(row, _separate([0.0] * len(row), [1.0] * len(row), _gaps(grid, row)), strict=True):
            x[vertex] = place
    for sweep in range(_SWEEPS + _SETTLING):
        last = sweep >= _SWEEPS
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            near = [_near(grid, vertex, down, last) for vertex in row]
            wanted = [_mean(x, ends) if ends else x[vertex] for vertex, ends in zip(row, near, strict=True)]
            weights = [sum(ends.values()) if ends else 0.1 for ends in near]
            for vertex, place in zip(row, _separate(wanted, weights, _gaps(grid, row)), strict=True):
                x[vertex] = place
    return x


def _near(grid: _Grid, vertex: int, down: bool, both: bool) -> dict[int, float]:
    above, below = grid.above[vertex], grid.below[vertex]
    if both:
        return {**above, **below}
    return (above or below) if down else (below or above)


def _mean(x: list[float], ends: dict[int, float]) -> float:
    return sum(x[end] * weight for end, weight in ends.items()) / sum(ends.values())


def _gaps(grid: _Grid, row: list[int]) -> list[float]:
    boxed = {vertex for vertex in row if grid.layer[vertex] % 2 == 0 and grid.left[vertex] > 1.0}
    return [
        grid.right[one] + grid.left[other] + (_BOX_GAP if one in boxed and other in boxed else _LINE_GAP)
        for one, other in itertools.pairwise(row)
    ]


def _separate(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places closest to the wanted ones, by weighted squares, that keep the order and the gaps.

    Without the gaps' running sum it is the regression to a sequence that never falls: adjacent violators are pooled.
    """
    offsets = list(itertools.accumulate(gaps, initial=0.0))[: len(wanted)]
    pools: list[tuple[float, float, int]] = []
    for place, weight, offset in zip(wanted, weights, offsets, strict=True):
        value, total, count = place - offset, weight, 1
        while pools and pools[-1][0] >= value:
            other, other_total, other_count = pools.pop()
            value = (value * total + other * other_total) / (total + other_total)
            total, count = total + other_total, count + other_count
        pools.append((value, total, count))
    level = [value for value, _, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(level, offsets, strict=True)]


def _down(grid: _Grid, rows: list[list[int]], x: list[float], sizes: Sequence[Size]) -> list[tuple[float, float]]:
    spans, y = [], _MARGIN
    for layer, row in enumerate(rows):
        boxes = [sizes[vertex].height for vertex in row if vertex < len(sizes)]
        height = max(boxes, default=_LABEL_HEIGHT if grid.labelled & set(row) else 0.0)
        # A curve that has far to go sideways needs height, or it becomes a horizontal line.
        reach = max((abs(x[vertex] - x[other]) for vertex in row for other in grid.above[vertex]), default=0.0)
        y += (10.0 + min(34.0, 0.11 * reach)) if layer else 0.0
        spans.append((y, y + height))
        y += height
    return spans


def _ports(grid: _Grid, x: list[float], sizes: Sequence[Size]) -> dict[tuple[int, int], float]:
    ports: dict[tuple[int, int], float] = {}
    for box, size in enumerate(sizes):
        for ends in (grid.above[box], grid.below[box]):
            near = sorted(ends, key=lambda vertex: (x[vertex], vertex))
            reach = max(0.0, size.width / 2 - 12.0)
            gap = min(_PORT_GAP, 2 * reach / max(1, len(near) - 1))
            wanted = [min(max(x[vertex], x[box] - reach), x[box] + reach) for vertex in near]
            places = _separate(wanted, [1.0] * len(near), [gap] * (len(near) - 1))
            low, high = x[box] - reach, x[box] + reach
            for at, (vertex, place) in enumerate(zip(near, places, strict=True)):
                ports[box, vertex] = min(max(place, low + at * gap), high - (len(near) - 1 - at) * gap)
    return ports


@dataclass(frozen=True)
class _Placed:
    """A grid with coordinates, the left edge of the picture not yet at 0."""

    sizes: Sequence[Size]
    grid: _Grid
    x: list[float]
    spans: list[tuple[float, float]]
    ports: dict[tuple[int, int], float]

    def layout(self, links: Sequence[Link]) -> Layout:
        """Everything moved to positive coordinates and rounded to a tenth of a pixel."""
        grid, x = self.grid, self.x
        left = min((at - width for at, width in zip(x, grid.left, strict=True)), default=0.0) - _MARGIN
        right = max((at + width for at, width in zip(x, grid.right, strict=True)), default=0.0) + _MARGIN
        bottom = max((end for _, end in self.spans), default=0.0) + _MARGIN
        centres = [(round(x[box] - left, 1), round(self._middle(box), 1)) for box in range(len(self.sizes))]
        drawn: set[int] = set()
        routes = []
        for link, chain in zip(links, grid.chains, strict=True):
            pieces = [(round(at - left, 1), round(y0, 1), round(y1, 1)) for at, y0, y1 in self._pieces(link, chain)]
            label = None
            if link.label and chain[0] not in drawn:
                drawn.add(chain[0])
                label = (round(x[chain[0]] - left, 1), round(sum(self.spans[grid.layer[chain[0]]]) / 2, 1))
            routes.append(Route(tuple(pieces), label))
        return Layout(tuple(centres), tuple(routes), round(right - left, 1), round(bottom, 1))

    def _middle(self, box: int) -> float:
        return sum(self.spans[self.grid.layer[box]]) / 2

    def _pieces(self, link: Link, chain: tuple[int, ...]) -> list[tuple[float, float, float]]:
        upper, lower = sorted((link.source, link.target))
        start = self._middle(upper) + self.sizes[upper].height / 2
        end = self._middle(lower) - self.sizes[lower].height / 2
        band = self.spans[self.grid.layer[upper]][1], self.spans[self.grid.layer[lower]][0]
        pieces = [(self.ports[upper, chain[0]], start, max(start, band[0]))]
        pieces += [(self.x[vertex], *self.spans[self.grid.layer[vertex]]) for vertex in chain]
        pieces.append((self.ports[lower, chain[-1]], min(end, band[1]), end))
        if link.source == upper:
            return pieces
        return [(x, y1, y0) for x, y0, y1 in reversed(pieces)]
