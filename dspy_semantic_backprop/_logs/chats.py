"""Conversations as logs: OpenAI's chat messages, and the logs of Who&When (arXiv 2505.00212)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .log import Log, Turn, log_of_turns

TASK = "task"


def openai(state: Any, name: str) -> Log:
    """Chat messages: `{"messages": [...], "expected": ..., "feedback": ..., "id": ...}`, or only the list.

    An agent is a message's `name`, else "assistant"; a tool reads the call that it answers; system and developer
    messages are the instruction, users' messages what the agents are given.
    """
    record = {"messages": state} if isinstance(state, list) else state
    messages = record.get("messages") if isinstance(record, Mapping) else None
    if not isinstance(messages, list) or not all(isinstance(one, Mapping) for one in messages):
        raise ValueError('it has no "messages", a list of objects')
    told: list[str] = []
    given: dict[str, str] = {}
    callers: dict[str, tuple[int, str]] = {}
    turns = []
    for number, message in enumerate(messages):
        role, text = message.get("role"), _text(message.get("content"))
        if role in ("system", "developer"):
            told.append(text)
        elif role == "user":
            given[f"user_{number}" if given else TASK] = text
        elif role in ("tool", "function"):
            caller = callers.get(str(message.get("tool_call_id")))
            tool = message.get("name") or (caller[1] if caller else "tool")
            turns.append(Turn(number, str(tool), text, read=None if caller is None else (caller[0],)))
        elif role == "assistant":
            callers |= {key: (number, tool) for key, tool, _ in map(_tool_call, _called(message))}
            speaker = str(message.get("name") or "assistant")
            turns.append(Turn(number, speaker, said(message), "\n\n".join(told), dict(given)))
        else:
            raise ValueError(f"message {number} has the role {role!r}, which chat messages do not know")
    expected = record.get("expected", record.get("ground_truth"))
    return log_of_turns(str(record.get("id") or name), turns, given, expected, _text(record.get("feedback")) or None)


def said(message: Mapping[str, Any]) -> str:
    """What a message says, and which tools it calls with which arguments."""
    calls = [f"{tool}({arguments})" for _, tool, arguments in map(_tool_call, _called(message))]
    text = _text(message.get("content")) or _text(message.get("refusal"))
    return "\n".join(filter(None, [text, *calls]))


def _called(message: Mapping[str, Any]) -> Sequence[Any]:
    legacy = message.get("function_call")
    return [*(message.get("tool_calls") or ()), *([{"function": legacy}] if legacy else [])]


def _tool_call(call: Any) -> tuple[str, str, str]:
    """A tool call's id, its tool, and its arguments."""
    if not isinstance(call, Mapping):
        raise ValueError(f"a tool call is no object: {call!r}")
    made = call.get("function") or call.get("custom") or {}
    arguments = made.get("arguments", made.get("input", ""))
    return str(call.get("id")), str(made.get("name") or "tool"), _text(arguments)


def whoandwhen(state: Any, name: str) -> Log:
    """A log of Who&When: `history`, `question`, `ground_truth`, and for some the agents' `system_prompt`.

    An agent is a turn's `name`, else its `role` up to a bracket; a human's turn is the task.
    """
    history = state.get("history") if isinstance(state, Mapping) else None
    if not isinstance(history, list) or not all(isinstance(one, Mapping) for one in history):
        raise ValueError('it has no "history", a list of objects')
    prompts = state.get("system_prompt")
    prompts = prompts if isinstance(prompts, Mapping) else {}
    given = {TASK: _text(state.get("question"))}
    turns = []
    for number, turn in enumerate(history):
        speaker = str(turn.get("name") or turn.get("role") or "?").partition(" (")[0]
        if speaker != "human":
            turns.append(Turn(number, speaker, _text(turn.get("content")), _text(prompts.get(speaker)), given))
    return log_of_turns(str(state.get("file") or name), turns, given, state.get("ground_truth"))


def _text(content: Any) -> str:
    """What a message says; of a list of parts their texts, and the kinds of the others."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_part(one) for one in content)
    return json.dumps(content, ensure_ascii=False, default=str)


def _part(part: Any) -> str:
    if isinstance(part, Mapping):
        text = part.get("text", part.get("refusal"))
        return text if isinstance(text, str) else f"({part.get('type', 'a part')} without a text)"
    return _text(part)
