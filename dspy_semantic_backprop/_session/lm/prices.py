"""What the next request can cost at most, from its text, its model and the budget's prices."""

from __future__ import annotations

import copy
import functools
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..budget import Bound, Budget

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_MESSAGE_TOKENS = 16
_IMAGE_TOKENS = 20_000
"""More than any provider counts for one image or sound."""
_MEDIA = ("image_url", "input_audio", "file", "image", "audio", "video")
_MILLION = 1_000_000


@dataclass(frozen=True)
class Price:
    """What a model costs: US dollars for a token that is sent, and for one that is received."""

    sent: float
    received: float

    def usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of a request, in US dollars."""
        return prompt_tokens * self.sent + completion_tokens * self.received


def stated_price(lm: Any, budget: Budget) -> Price | None:
    """The price that the budget itself states for a model; None where it states none."""
    name = str(getattr(lm, "model", ""))
    found = budget.prices.get(name) or budget.prices.get(name.partition("/")[2])
    return Price(found[0] / _MILLION, found[1] / _MILLION) if found is not None else None


def price_of(lm: Any, budget: Budget) -> Price | None:
    """What a model costs at most: as the budget states it, or as LiteLLM knows it; None where neither does."""
    stated = stated_price(lm, budget)
    if stated is not None:
        return stated
    known = _known(str(getattr(lm, "model", "")))
    # Long prompts and other tiers cost more: the bound is the dearest.
    sent, received = (
        [value for name, value in known.items() if name.startswith(f"{way}_cost_per_token") and value is not None]
        for way in ("input", "output")
    )
    return Price(max(sent), max(received)) if sent and received else None


def longest_answer(lm: Any, settings: Mapping[str, Any] | None = None) -> int | None:
    """The most tokens that one answer can have, by the request's settings or the model's; None: nothing says so."""
    for given in (settings or {}, getattr(lm, "kwargs", None) or {}):
        found = [int(given[name]) for name in _LIMITS if given.get(name)]
        if found:
            return max(found)
    known = _known(str(getattr(lm, "model", ""))).get("max_output_tokens")
    return int(known) if known else None


def bound_of(lm: Any, budget: Budget, asked: Any, settings: Mapping[str, Any]) -> Bound:
    """The most that a request can cost, by its prompt or messages and its settings.

    No tokenizer makes more tokens of a text than it has bytes.
    """
    count = int(settings.get("n") or (getattr(lm, "kwargs", None) or {}).get("n") or 1)
    if budget.tokens is None and budget.usd is None:
        return Bound(calls=count)
    sent = _bytes(asked) + sum(_bytes(settings[name]) for name in ("tools", "response_format") if settings.get(name))
    received = longest_answer(lm, settings) or 0
    price = price_of(lm, budget) if budget.usd is not None else None
    usd = price.usd(sent, received) * count if price is not None else 0.0
    return Bound(calls=count, tokens=(sent + received) * count, usd=usd)


def _bytes(asked: Any) -> int:
    text = asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False, default=str)
    messages = len(asked) if isinstance(asked, (list, tuple)) else 1
    media = sum(text.count(f'"{kind}"') for kind in _MEDIA)
    return len(text.encode("utf-8", "surrogatepass")) + messages * _MESSAGE_TOKENS + media * _IMAGE_TOKENS


_LOCK = threading.Lock()
_RUNS: set[object] = set()
"""The runs under way for which DSPy's price look-up is replaced."""


@contextmanager
def remembered_prices() -> Iterator[None]:
    """Let DSPy's client look up the price of a model once, and not for every answer, while a run is under way.

    For a model without a price, such as every self-hosted one, DSPy (3.4) goes through thousands of entries twice for
    each answer: more than half of the CPU time that its client takes for a call.
    """
    try:
        from dspy.clients import costs
    except ImportError:
        yield
        return
    run = object()
    with _LOCK:
        if not _RUNS and hasattr(costs, "model_info"):
            costs.model_info = _remembering(costs.model_info)
        _RUNS.add(run)
    try:
        yield
    finally:
        with _LOCK:
            _RUNS.remove(run)
            if not _RUNS and hasattr(costs, "model_info"):
                costs.model_info = costs.model_info.__wrapped__


def _remembering(look_up: Any) -> Any:
    known: dict[Any, Any] = {}

    @functools.wraps(look_up)
    def model_info(provider: Any, model: Any, *, namespaces: Any = None) -> Any:
        key = (provider, model, None if namespaces is None else tuple(namespaces))
        if key not in known:
            known[key] = look_up(provider, model, namespaces=namespaces)
        return copy.deepcopy(known[key])

    return model_info


@functools.cache
def _known(model: str) -> Mapping[str, Any]:
    # Importing LiteLLM takes seconds: only where a budget asks for it.
    import litellm

    try:
        return dict(litellm.get_model_info(model))
    except Exception:  # noqa: BLE001 - LiteLLM raises plain Exception for a model that it does not know
        return {}
