"""What a function's code compares with: constants, globals and attributes in a statement that tests something.

The code is read, never run, and read as the interpreter has it: there need be no source.
"""

from __future__ import annotations

import dis
import importlib
import re
import sys
import types
import warnings
from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import Any

from ...record.program_code import codes, filled

_TESTS = frozenset({"COMPARE_OP", "CONTAINS_OP"})
_ENDS = ("STORE_", "POP_", "RETURN_", "JUMP_", "POP_JUMP", "YIELD_")
_CONSTANT = ("LOAD_CONST", "LOAD_SMALL_INT")
_NAMES = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_ATTR")
_PATTERNS = frozenset({"search", "match", "fullmatch", "findall", "finditer"})
_SEARCHES = _PATTERNS | {
    *("startswith", "endswith", "find", "rfind", "index", "rindex", "count", "partition", "rpartition"),
    *("removeprefix", "removesuffix", "get", "intersection", "isdisjoint", "issubset", "issuperset"),
}
"""Methods that say whether something is there, and where."""
_MOST_ITEMS, _LONGEST = 24, 200
_MOST_BRANCHES = 3
_COLLECTIONS = (tuple, list, set, frozenset, dict)
_MOST_LISTED, _LONGEST_LISTED = 4, 40
_MADE_KEYS = frozenset({"CALL_FUNCTION_KW", "CALL_KW", "BINARY_SUBSCR"})
"""What takes the constant before it as a name: of arguments or of an item."""


def compared_in(function: types.FunctionType, attributes: Mapping[str, Any]) -> Iterator[Any]:
    """The texts and numbers of a function's tests, in the order of its code; of a regular expression one that fits it.

    `attributes` are what an attribute may stand for.
    """
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
    closed = {name: cell.cell_contents for name, cell in cells if filled(cell)}
    for code in codes(function.__code__):
        yield from _of_code(code, ChainMap(closed, function.__globals__, dict(attributes)))


def _of_code(code: types.CodeType, known: Mapping[str, Any]) -> Iterator[Any]:
    held: list[Any] = []
    is_test = is_pattern = is_map = False
    for instruction in dis.get_instructions(code):
        operation, argument = instruction.opname, instruction.argval
        if operation in _MADE_KEYS and held:
            held.pop()
        is_map = is_map or operation in ("BUILD_MAP", "BUILD_CONST_KEY_MAP")
        is_test = is_test or (is_map and (operation == "BINARY_SUBSCR" or instruction.argrepr == "[]"))
        if operation.startswith(_CONSTANT):
            held.append(argument)
        elif operation in ("LOAD_METHOD", "LOAD_ATTR") and argument in _SEARCHES:
            is_test, is_pattern = True, is_pattern or argument in _PATTERNS
        else:
            held.append(known.get(argument) if operation in _NAMES else None)
        is_test = is_test or operation in _TESTS
        if operation == "GET_ITER":
            yield from _listed(next(reversed(held[:-1]), None))
        if operation in _TESTS or operation.startswith(_ENDS):
            for value in held if is_test else ():
                yield from _plain(value, is_pattern)
            held, is_test, is_pattern, is_map = [], False, False, False


def _plain(value: Any, is_pattern: bool) -> Iterator[Any]:
    if isinstance(value, re.Pattern):
        value, is_pattern = value.pattern, True
    inner = list(value) if type(value) in _COLLECTIONS and len(value) <= _MOST_ITEMS else [value]
    plain = [one for one in inner if type(one) in (int, float) or (isinstance(one, str) and 0 < len(one) <= _LONGEST)]
    for one in sorted(plain, key=str) if isinstance(value, (set, frozenset)) else plain:
        yield from fitting(one) if is_pattern and isinstance(one, str) else (one,)


def _listed(value: Any) -> list[str]:
    """The first short texts that code goes through, to look for each of them."""
    inner = list(value) if type(value) in _COLLECTIONS and len(value) <= _MOST_ITEMS else []
    texts = [one for one in inner if isinstance(one, str) and len(one) <= _LONGEST_LISTED]
    return sorted(texts)[:_MOST_LISTED] if len(texts) == len(inner) else []


def fitting(pattern: str) -> list[str]:
    """Texts that a regular expression finds something in; the expression itself where none can be made."""
    # The interpreter's own parser has no public name.
    parser = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            parts = parser.parse(pattern)
            texts = ["".join(_written(parts, branch, {})) for branch in range(_MOST_BRANCHES)]
            return [text for text in dict.fromkeys(texts) if text and re.search(pattern, text)] or [pattern]
        except (re.error, OverflowError, RecursionError, LookupError):
            return [pattern]


_CLASSES = {"CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "x", "CATEGORY_NOT_DIGIT": "x"}
_CLASSES |= {"CATEGORY_NOT_SPACE": "x", "CATEGORY_NOT_WORD": " "}


def _written(parts: Any, branch: int, groups: dict[Any, str]) -> Iterator[str]:
    """The pieces of a text that a parsed regular expression fits, the same alternative everywhere."""
    for code, argument in parts:
        match str(code):
            case "LITERAL":
                yield chr(argument)
            case "NOT_LITERAL" | "ANY":
                yield "x" if argument != ord("x") else "y"
            case "IN":
                yield _one_of(argument)
            case "BRANCH":
                yield "".join(_written(argument[1][min(branch, len(argument[1]) - 1)], branch, groups))
            case "SUBPATTERN":
                groups[argument[0]] = "".join(_written(argument[-1], branch, groups))
                yield groups[argument[0]]
            case "GROUPREF":
                yield groups[argument]
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                yield "".join(_written(argument[2], branch, groups)) * min(argument[0], _LONGEST)
            case "ATOMIC_GROUP":
                yield "".join(_written(argument, branch, groups))


def _one_of(choices: Any) -> str:
    """A character of a class."""
    (code, argument), *_ = choices
    match str(code):
        case "LITERAL":
            return chr(argument)
        case "RANGE":
            return chr(argument[0])
        case "CATEGORY":
            return _CLASSES[str(argument)]
    return next((one for one in "x7 _-" if not _is_listed(one, choices)), "")


def _is_listed(character: str, choices: Any) -> bool:
    listed = {"LITERAL": lambda one: chr(one) == character, "RANGE": lambda one: one[0] <= ord(character) <= one[1]}
    listed |= {"CATEGORY": lambda one: _CLASSES[str(one)] == character}
    return any(listed[str(code)](argument) for code, argument in choices if str(code) in listed)
