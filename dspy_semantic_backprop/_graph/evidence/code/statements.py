"""Abstract runs of statements: both branches of every `if`, every loop until nothing new comes."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...record.program_code import place
from ...trace import Position
from .heap import owner_of
from .labels import ITEM, KEY, MANY, NOTHING, SIZE, WHOLE, Label, New, Site, Value, everything, join, made_from
from .state import (
    Closure,
    Frame,
    Loop,
    Machine,
    State,
    chosen,
    contents,
    entered,
    inside_of,
    items,
    merged,
    picked,
    size,
    truth,
    turned,
)

_PASSES = 3


def execute(machine: Machine, statements: Iterable[ast.stmt], frame: Frame, state: State) -> State | None:
    """Run statements on a state, which changes in place; None where they never go on (return, raise, break)."""
    live: State | None = state
    for statement in statements:
        if live is None:
            return None
        live = _statement(machine, statement, frame, live)
    return live


def _statement(machine: Machine, node: ast.stmt, frame: Frame, state: State) -> State | None:  # noqa: C901 - one case a statement
    match node:
        case ast.Expr():
            machine.evaluate(machine, node.value, frame, state)
        case ast.Assign():
            value = machine.evaluate(machine, node.value, frame, state)
            for target in node.targets:
                assign(machine, target, value, frame, state)
        case ast.AnnAssign() if node.value is not None:
            assign(machine, node.target, machine.evaluate(machine, node.value, frame, state), frame, state)
        case ast.AugAssign():
            _augmented(machine, node, frame, state)
        case ast.Return():
            value = machine.evaluate(machine, node.value, frame, state) if node.value else NOTHING
            why = made_from(state.control - frame.entry, "choice")
            frame.returns.append((join([value, Value(why)]) if why else value, state))
            for loop in frame.loops:
                loop.ends |= state.control
            return None
        case ast.If():
            why = machine.evaluate(machine, node.test, frame, state)
            known = truth(why)
            if known is not None:
                return execute(machine, node.body if known else node.orelse, frame, state)
            return _branches(machine, [node.body, node.orelse], size(why, state), frame, state)
        case ast.Match():
            subject = machine.evaluate(machine, node.subject, frame, state)
            for case in node.cases:
                _bind(case.pattern, subject, state)
            why = contents(subject, state)
            return _branches(machine, [*(case.body for case in node.cases), []], why, frame, state)
        case ast.For() | ast.AsyncFor() | ast.While():
            return _loop(machine, node, frame, state)
        case ast.Break() | ast.Continue() if frame.loops:
            loop = frame.loops[-1]
            loop.exits |= state.control
            loop.ends |= state.control if isinstance(node, ast.Break) else frozenset()
            (loop.breaks if isinstance(node, ast.Break) else loop.continues).append(state)
            return None
        case ast.Raise():
            if node.exc is not None and machine.tries:
                machine.tries[-1] |= contents(machine.evaluate(machine, node.exc, frame, state), state) | state.control
            return None
        case ast.Try():
            return _try(machine, node, frame, state)
        case ast.With() | ast.AsyncWith():
            for item in node.items:
                value = machine.evaluate(machine, item.context_expr, frame, state)
                if item.optional_vars is not None:
                    assign(machine, item.optional_vars, value, frame, state)
            return execute(machine, node.body, frame, state)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            state.env[node.name] = Value(objects=(Closure(node, frame, state.env),))
        case ast.Assert():
            machine.evaluate(machine, node.test, frame, state)
        case ast.Global() | ast.Nonlocal():
            frame.outer.update(node.names)
        case ast.Delete():
            for target in node.targets:
                if isinstance(target, ast.Subscript):
                    _deleted(machine, target, frame, state)
        case ast.Pass() | ast.Import() | ast.ImportFrom():
            pass
    return state


def assign(machine: Machine, target: ast.expr, value: Value, frame: Frame, state: State) -> None:
    """Bind a value to a name, an attribute, an item, or the names of a pattern."""
    match target:
        case ast.Name():
            state.env[target.id] = value
            if target.id in frame.outer:
                state.store("global", target.id, join([value, Value(made_from(state.control, "choice"))]))
        case ast.Attribute():
            base = machine.evaluate(machine, target.value, frame, state)
            _store(base, target.attr, value, state, target.value, strongly=len(base.objects) == 1)
        case ast.Subscript():
            base = machine.evaluate(machine, target.value, frame, state)
            key = machine.evaluate(machine, target.slice, frame, state)
            name = next((str(one) for one in key.objects if isinstance(one, (str, int))), ITEM)
            _store(base, name, join([value, Value(made_from(contents(key, state), "choice"))]), state, target.value)
            for one in base.objects:
                owner = owner_of(one)
                state.store(owner, KEY, Value(contents(key, state)))
                state.store(owner, SIZE, Value())
        case ast.Tuple() | ast.List():
            for at, element in enumerate(target.elts):
                starred = isinstance(element, ast.Starred)
                inner = element.value if isinstance(element, ast.Starred) else element
                part = value.parts.get(str(at)) if not starred else None
                assign(machine, inner, picked(value, part) if part is not None else items(value, state), frame, state)
        case ast.Starred():
            assign(machine, target.value, value, frame, state)


def _store(base: Value, name: str, value: Value, state: State, node: ast.expr, *, strongly: bool = False) -> None:
    for one in base.objects:
        owner = owner_of(one)
        # What is stored keeps what it holds now: the object may be made anew in a loop's next iteration.
        kept = join([value, Value(contents(value, state))])
        state.store(owner, name, kept, strongly=strongly and name != ITEM)
    if not base.objects and isinstance(node, ast.Name):
        state.env[node.id] = join([base, Value(everything(value))])


def _deleted(machine: Machine, target: ast.Subscript, frame: Frame, state: State) -> None:
    # What is left depends on what the key depends on, and on whatever decided that it is deleted.
    key = contents(machine.evaluate(machine, target.slice, frame, state), state)
    for one in machine.evaluate(machine, target.value, frame, state).objects:
        state.store(owner_of(one), ITEM, Value(made_from(key, "choice")))
        state.store(owner_of(one), SIZE, Value(made_from(key, "choice")))


def _augmented(machine: Machine, node: ast.AugAssign, frame: Frame, state: State) -> None:
    before = machine.evaluate(machine, node.target, frame, state)
    added = machine.evaluate(machine, node.value, frame, state)
    how = "added" if isinstance(node.op, ast.Add) else "computed"
    labels = made_from(contents(before, state) | contents(added, state), how)
    for one in before.objects:
        if isinstance(one, (New, list, dict, set)):
            state.store(owner_of(one), ITEM, Value(contents(added, state)))
    assign(machine, node.target, Value(labels, {}, before.objects), frame, state)


def _branches(
    machine: Machine, bodies: Sequence[Sequence[ast.stmt]], why: frozenset[Label], frame: Frame, state: State
) -> State | None:
    labels = made_from(why, "choice")
    outside = state.control
    # Both branches run on a state of their own; afterwards a variable may hold what either left in it.
    ends: list[State] = []
    for body in bodies:
        branch = state.copy()
        branch.control |= labels
        end = execute(machine, body, frame, branch)
        if end is not None:
            ends.append(end)
    if not ends:
        return None
    after = chosen(state, functools.reduce(merged, ends), labels)
    # Where a branch left, the others are there because of the decision.
    after.control = outside | (labels if len(ends) < len(bodies) else frozenset())
    return after


def _loop(machine: Machine, node: ast.For | ast.AsyncFor | ast.While, frame: Frame, state: State) -> State | None:
    start, where = state.copy(), place(node, frame.filename)
    loop = Loop()
    machine.loops.add(where)
    frame.loops.append(loop)
    ends = []
    returned = len(frame.returns)
    known = dict(machine.uses)
    # The first iteration runs on what stood before the loop, the others on what an iteration leaves. Labels tell
    # apart this iteration, the one before and any before that (`MANY`): two after the first find them all.
    for first in (True, *(False for _ in range(_PASSES - 1))):
        top = state.copy()
        if isinstance(node, ast.While):
            why = made_from(size(machine.evaluate(machine, node.test, frame, top), top), "choice")
            loop.exits |= why
            loop.ends |= why
            top.control |= why
        else:
            over = items(machine.evaluate(machine, node.iter, frame, top), top)
            assign(machine, node.target, over, frame, top)
        ends.append(state)
        end = execute(machine, node.body, frame, top)
        loop.continues += [end] if end is not None else []
        state = entered(start, [turned(one, frame, where) for one in loop.continues], where)
        # That there is another iteration was decided in all before it.
        inside = inside_of(frame.chain, where)
        earlier = (replace(one, back=MANY, loop=where) if inside(one.site) else one for one in loop.ends)
        state.control = start.control.union(earlier)
        loop.continues.clear()
        if first:
            # The first iteration did not know what the loop overwrites; the second one finds all that it found.
            machine.uses = known
            loop.breaks.clear()
            del frame.returns[returned:]
    frame.loops.pop()
    after = functools.reduce(merged, (*ends[1:], *loop.breaks), state)
    after = chosen(start, after, _any_iteration(loop.exits - start.control, frame, where))
    after.control = start.control | (loop.exits if len(frame.returns) > returned else frozenset())
    return execute(machine, node.orelse, frame, after)


def _any_iteration(labels: frozenset[Label], frame: Frame, loop: Position) -> frozenset[Label]:
    """What may have ended a loop: all calls in it; of those before it in the same function the one that was meant."""
    inside, way = inside_of(frame.chain, loop), frame.chain

    def is_before(site: Site) -> bool:
        return site[: len(way)] == way and not inside(site)

    return frozenset(one if is_before(one.site) else replace(one, back=0, loop=loop, all=True) for one in labels)


def _try(machine: Machine, node: ast.Try, frame: Frame, state: State) -> State | None:
    before = state.copy()
    machine.tries.append(set())
    # Any expression of the body may be the one that raised: whatever it touched decides whether a handler runs.
    body = execute(machine, node.body, frame, state)
    touched = frozenset(machine.tries.pop())
    ends = [execute(machine, node.orelse, frame, body)] if body is not None else []
    for handler in node.handlers:
        caught = merged(before.copy(), body.copy()) if body is not None else before.copy()
        if handler.name:
            caught.env[handler.name] = Value(made_from(touched, "computed"))
        caught.control = before.control | made_from(touched, "choice")
        ends.append(execute(machine, handler.body, frame, caught))
    live = [end for end in ends if end is not None]
    if machine.tries:
        machine.tries[-1] |= touched
    if not live:
        return None
    after = functools.reduce(merged, live)
    if node.handlers:
        after = chosen(before, after, touched) if len(live) > 1 else after
    after.control = before.control | (made_from(touched, "choice") if len(live) < len(ends) else frozenset())
    return execute(machine, node.finalbody, frame, after)


def _bind(pattern: ast.pattern, value: Value, state: State) -> None:
    """Give the names of a pattern what they may stand for."""
    match pattern:
        case ast.MatchAs():
            if pattern.pattern is not None:
                _bind(pattern.pattern, value, state)
            if pattern.name is not None:
                state.env[pattern.name] = value
        case ast.MatchStar() | ast.MatchMapping() if getattr(pattern, "name", getattr(pattern, "rest", None)):
            state.env[getattr(pattern, "name", getattr(pattern, "rest", ""))] = items(value, state)
    inner = [*getattr(pattern, "patterns", ()), *getattr(pattern, "kwd_patterns", ())]
    names = getattr(pattern, "kwd_attrs", None) or [str(at) for at in range(len(inner))]
    for name, one in zip([*names, *(ITEM for _ in inner)], inner, strict=False):
        part = value.parts.get(name) if not isinstance(pattern, ast.MatchOr) else value
        labels = frozenset(_named_part(label, name) for label in value.labels)
        _bind(one, part if part is not None else join([Value(labels), items(Value(parts=value.parts), state)]), state)


def _named_part(label: Label, name: str) -> Label:
    return replace(label, field=name) if label.field == WHOLE else label
