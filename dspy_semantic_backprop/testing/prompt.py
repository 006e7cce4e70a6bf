"""What a chat request shows, read from its messages alone.

A `Prompt` is everything that an answering function may know: the objective, the input values, the output fields
with their types, the demonstrations, and the format in which the reply is wanted. The formats are those that
DSPy's chat, JSON, XML and two-step adapters write; anything else counts as a plain text prompt.

Why: the formats are read back from the text rather than imported from DSPy, so that the model keeps working
when an adapter changes its classes but not its wording, and sees no more than a remote model would.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.sax.saxutils import escape

Style = Literal["chat", "json", "xml", "two_step", "plain"]
Output = tuple[str, str, str]

_FIELD = re.compile(r"^\d+\. `(\w+)` \((.*?)\):(?: (.*))?$")
_HEADER = re.compile(r"^\[\[ ## (\w+) ## \]\][ \t]*", re.MULTILINE)
_OBJECTIVE = "your objective is:"
_STRUCTURE = "All interactions will be structured"
_TWO_STEP_END = "You should lay out your outputs in detail"
_TWO_STEP_OBJECTIVE = "Specific instructions:"
_NOTE = "# note: the value you produce "
_SCALARS = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NO = re.compile(r"\s*(?:no\b|false|0\b|invalid|not\b)", re.IGNORECASE)
_DEEPEST = 8


@dataclass(frozen=True)
class Prompt:
    """One request, as far as its messages show it.

    Arguments:
        text: all message texts, joined by blank lines.
        instruction: the objective, dedented; the whole text of a plain prompt.
        inputs: the values of the last user message by field name; empty for a plain prompt.
        outputs: name, type text and description of each output field, in the order asked.
        demos: the output values of each demonstration by field name.
        style: the reply format asked for.
        schemas: a JSON schema for each output field that is not plain text.
        sample: 0 for a request at temperature 0; otherwise how many times the request has come before.
    """

    text: str
    instruction: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    demos: tuple[Mapping[str, str], ...] = ()
    style: Style = "plain"
    schemas: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    sample: int = 0

    @property
    def wants_json(self) -> bool:
        """Whether the reply must be a JSON object."""
        return self.style == "json"

    @property
    def names(self) -> list[str]:
        """The output field names, in the order asked."""
        return [name for name, _, _ in self.outputs]

    @classmethod
    def from_messages(cls, messages: Sequence[Mapping[str, Any]], sample: int = 0) -> Prompt:
        """Read chat messages with `role` and `content`, a text or a list of parts."""
        texts = [(str(message.get("role", "")), _content(message)) for message in messages]
        whole = "\n\n".join(text for _, text in texts)
        system = next((text for role, text in texts if role in ("system", "developer")), "")
        users = [index for index, (role, _) in enumerate(texts) if role == "user"]
        last = texts[users[-1]][1] if users else (texts[-1][1] if texts else "")
        style = _style(system, last)
        if style == "plain":
            return cls(text=whole, instruction=whole, sample=sample)
        inputs, outputs = _declared(system, style)
        demos = [text for role, text in texts[: users[-1] if users else 0] if role == "assistant"]
        names = [name for name, _, _ in outputs]
        return cls(
            text=whole,
            instruction=_objective(system, style),
            inputs=_sections(last, [name for name, _, _ in inputs], style),
            outputs=tuple(outputs),
            demos=tuple(_demo(text, names, style) for text in demos),
            style=style,
            schemas={name: schema_of(name, kind, system) for name, kind, _ in outputs},
            sample=sample,
        )

    def render(self, values: Mapping[str, Any] | str) -> str:
        """Write a reply in the format asked, a valid value in every field, made up where missing; a text stays."""
        if isinstance(values, str):
            return values
        if self.style == "plain":
            return "\n".join(str(value) for value in values.values())
        fitted = {name: fit(values.get(name), self.schemas[name]) for name in self.names}
        if self.style == "json":
            return json.dumps(fitted, ensure_ascii=False, indent=2)
        if self.style == "xml":
            return "\n\n".join(f"<{name}>\n{_xml(value)}\n</{name}>" for name, value in fitted.items())
        if self.style == "two_step":
            return "\n\n".join(f"{name}: {_plain(value)}" for name, value in fitted.items())
        parts = [f"[[ ## {name} ## ]]\n{_plain(value)}" for name, value in fitted.items()]
        return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _style(system: str, last: str) -> Style:
    """The reply format; the last user message decides, since demonstrations may stand before it."""
    if "Your output fields are:" in system and _OBJECTIVE in system:
        if "Respond with a JSON object" in last or "Outputs will be a JSON object" in system:
            return "json"
        if "wrapped in XML tags" in last:
            return "xml"
        return "chat"
    if "Your outputs must contain:" in system and _TWO_STEP_END in system:
        return "two_step"
    return "plain"


def _declared(system: str, style: Style) -> tuple[list[Output], list[Output]]:
    """The input and output fields that the system message lists."""
    heads = ("As input, you will be provided with:", "Your outputs must contain:", _TWO_STEP_END)
    if style != "two_step":
        heads = ("Your input fields are:", "Your output fields are:", _STRUCTURE)
    _, _, rest = system.partition(heads[0])
    before, _, rest = rest.partition(heads[1])
    after, _, _ = rest.partition(heads[2])
    return _field_list(before), _field_list(after)


def _field_list(block: str) -> list[Output]:
    fields: list[Output] = []
    for line in block.strip("\n").split("\n"):
        match = _FIELD.match(line.rstrip())
        if match:
            fields.append((match[1], match[2], match[3] or ""))
        elif fields:
            name, kind, description = fields[-1]
            fields[-1] = (name, kind, f"{description}\n{line}")
    return [(name, kind, description.strip()) for name, kind, description in fields]


def _objective(system: str, style: Style) -> str:
    mark = _TWO_STEP_OBJECTIVE if style == "two_step" else _OBJECTIVE
    _, _, after = system.partition(_TWO_STEP_END if style == "two_step" else _STRUCTURE)
    _, _, text = after.partition(mark)
    return textwrap.dedent(text.strip(" ").strip("\n")).strip()


def _sections(text: str, names: Sequence[str], style: Style) -> dict[str, str]:
    """Cut the last user message into its fields, which stand in the order of the signature."""
    body = text[:cut] if (cut := text.rfind("\n\nRespond with ")) >= 0 else text
    if style == "xml":
        found = {name: re.search(rf"<{name}>\n(.*?)\n</{name}>", body, re.DOTALL) for name in names}
        return {name: match[1] for name, match in found.items() if match}
    starts: list[tuple[str, int, int]] = []
    position = 0
    for name in names:
        head = rf"^{name}: " if style == "two_step" else rf"^\[\[ ## {name} ## \]\][ \t]*\n?"
        match = re.compile(head, re.MULTILINE).search(body, position)
        if match:
            starts.append((name, match.start(), match.end()))
            position = match.end()
    ends = [start for _, start, _ in starts[1:]] + [len(body)]
    return {name: body[begin:end].strip() for (name, _, begin), end in zip(starts, ends, strict=True)}


def _demo(text: str, names: Sequence[str], style: Style) -> dict[str, str]:
    """The output values that a demonstration's assistant message shows."""
    if style == "json":
        try:
            values = json.loads(text)
        except ValueError:
            return {}
        return {str(key): _plain(value) for key, value in values.items()} if isinstance(values, dict) else {}
    if style == "chat":
        pieces = _HEADER.split(text)
        found = zip(pieces[1::2], pieces[2::2], strict=True)
        return {name: value.strip() for name, value in found if name in names}
    return _sections(text, names, style)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return str(value)
    return json.dumps(value, ensure_ascii=False)


# XML 1.0 has no way to write most control characters, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        safe = {key: inner for key, inner in value.items() if re.fullmatch(r"[A-Za-z_]\w*", str(key))}
        return "".join(f"<{key}>{_xml(inner)}</{key}>" for key, inner in safe.items())
    if isinstance(value, list):
        return "".join(f"<item>{_xml(inner)}</item>" for inner in value)
    return _NOT_XML.sub(" ", escape(_plain(value)))


def schema_of(name: str, kind: str, system: str) -> dict[str, Any]:
    """The JSON schema of an output field of a type such as "int" or "Literal['a', 'b']".

    That of a nested type may stand in the system message.
    """
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if kind.startswith("Literal["):
        choices = _literal(kind[len("Literal") :])
        if choices:
            return {"enum": choices}
    skeleton = re.search(rf"^<{name}>(<.+)</{name}>$", system, re.MULTILINE)
    if skeleton and not kind.startswith("dict"):
        return _skeleton_schema(skeleton[1])
    note = _note(name, system)
    _, found, text = note.partition("JSON schema: ")
    if found:
        try:
            schema = json.loads(text)
        except ValueError:
            return {"type": "string"}
        return schema if isinstance(schema, dict) else {}
    _, found, text = note.partition("one of: ")
    return {"enum": text.split("; ")} if found else _by_type_text(kind)


def _literal(text: str) -> list[Any]:
    try:
        return list(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []


def _note(name: str, system: str) -> str:
    """The remark on a field's type in the structure part; the JSON format writes it as a quoted string."""
    quoted = re.search(rf'^ *("{name}": ".*"),?$', system, re.MULTILINE)
    if quoted:
        try:
            text = json.loads("{" + quoted[1] + "}")[name]
        except (ValueError, KeyError):
            text = ""
        return str(text).partition(_NOTE)[2]
    plain = re.search(rf"^\{{{name}\}} *{_NOTE}(.*)$", system, re.MULTILINE)
    return plain[1] if plain else ""


def _skeleton_schema(text: str) -> dict[str, Any]:
    """The schema of a nested XML example, in which a one passes for a text as well as for a number."""
    parts = {tag: _skeleton_schema(inner) for tag, inner in re.findall(r"<(\w+)>(.*?)</\1>", text)}
    if list(parts) == ["item"]:
        return {"type": "array", "items": parts["item"]}
    return {"type": "object", "properties": parts} if parts else {"const": "1"}


def _by_type_text(kind: str) -> dict[str, Any]:
    if kind.startswith("dict"):
        return {"type": "object"}
    if kind.startswith("list"):
        return {"type": "array", "items": _by_type_text(kind[5:-1])}
    return {"type": _SCALARS.get(kind, "string")}


def fit(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, depth: int = 0) -> Any:
    """A value that a schema accepts, as near to the one given as possible; for None, anything plausible.

    Definitions stand in the outermost schema, `root`; recursion ends at a fixed depth.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        schema = root.get("$defs", {}).get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return fit(value, _option(value, options), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return _choice(value, schema["enum"])
    if "type" not in schema and "properties" not in schema and value is not None:
        # Such as the values of `dict[str, Any]`: whatever it is, it is accepted.
        return json.loads(json.dumps(value, default=str))
    kind = schema.get("type", "string")
    if kind == "object":
        return _object(value, schema, root, depth)
    if kind == "array":
        return _array(value, schema, root, depth)
    return _scalar(value, kind, schema)


def _option(value: Any, options: list[dict[str, Any]]) -> dict[str, Any]:
    wanted = {dict: "object", list: "array"}.get(type(value))
    real = [option for option in options if option.get("type") != "null"] or options
    return next((option for option in real if wanted and option.get("type") == wanted), real[0])


def _object(value: Any, schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    given = value if isinstance(value, dict) else {}
    if "properties" not in schema:
        inner = schema.get("additionalProperties")
        inner = inner if isinstance(inner, dict) else {}
        return {str(key): fit(item, inner, root, depth + 1) for key, item in given.items()}
    required = schema.get("required", [])
    names = [name for name in schema["properties"] if depth < _DEEPEST or name in required]
    first = None if isinstance(value, dict) else value
    return {
        name: fit(given.get(name, first), schema["properties"][name], root, depth + 1)
        for name in names
        if depth < 2 * _DEEPEST
    }


def _array(value: Any, schema: dict[str, Any], root: dict[str, Any], depth: int) -> list[Any]:
    inner = schema.get("items")
    inner = inner if isinstance(inner, dict) else {}
    items = list(value) if isinstance(value, list | tuple) else [value]
    least = int(schema.get("minItems", 0))
    if depth >= _DEEPEST or (value is None and not least):
        items = items[:least]
    items += [None] * (least - len(items))
    return [fit(item, inner, root, depth + 1) for item in items[: schema.get("maxItems", len(items))]]


def _scalar(value: Any, kind: str, schema: dict[str, Any]) -> Any:
    if kind == "boolean":
        return value if isinstance(value, bool) else value is not None and not _NO.match(str(value))
    if kind in ("integer", "number"):
        number = _number(value)
        low, high = schema.get("minimum"), schema.get("maximum")
        number = number if low is None else max(number, low)
        number = number if high is None else min(number, high)
        return int(number) if kind == "integer" else number
    if kind == "null":
        return None
    if value is None:
        return "Nothing to report."
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    match = _NUMBER.search(str(value).replace(",", ""))
    # A float cannot hold more digits anyway, and int() refuses thousands of them.
    return float(match[0][:300]) if match else 1


def _choice(value: Any, choices: list[Any]) -> Any:
    """The choice that the value names; "finish" ends an agent's loop when nothing is named."""
    text = str(value).casefold()
    for choice in choices:
        if text == str(choice).casefold():
            return choice
    for choice in choices:
        if re.search(rf"(?<!\w){re.escape(str(choice).casefold())}(?!\w)", text):
            return choice
    if value is not None and {str(choice).casefold() for choice in choices} == {"true", "false"}:
        wanted = "false" if _NO.match(text) else "true"
        return next(choice for choice in choices if str(choice).casefold() == wanted)
    return "finish" if "finish" in choices else choices[0]
