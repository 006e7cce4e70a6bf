"""What single requests to a language model cost: at most, before they are sent, and as DSPy's usage tracking tells.

The tokens of each recorded call, as its graph shows them, are counted in `_graph/record/recording.py`.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import dspy
from dspy.utils.exceptions import LMTimeoutError
from dspy.utils.usage_tracker import UsageTracker

from ..._errors import ModelError, ModelUnavailable
from ..batch.provider import HALF
from ..budget import Bound, Budget, Purpose, Spent
from ..ledger import Ledger
from .failures import was_never_sent, was_refused
from .patched import Patched
from .replies import count, countable

_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_MESSAGE_TOKENS = 16
_IMAGE_TOKENS = 20_000
"""More than any provider counts for one image or sound."""
_MEDIA = ("image_url", "input_audio", "file", "image", "audio", "video")
_MILLION = 1_000_000
_LETTERS_OF_A_TOKEN = 100
"""No text of a page has so many in the mean."""


@dataclass(frozen=True)
class Price:
    """What a model costs: US dollars for a token that is sent, and for one that is received.

    Args:
        read: For one that is sent and that the provider's prompt cache holds; None for the same as any.
    """

    sent: float
    received: float
    read: float | None = None

    def usd(self, prompt_tokens: int, completion_tokens: int, cache_read_tokens: int = 0) -> float:
        """The price of a request, in US dollars."""
        less = 0.0 if self.read is None else cache_read_tokens * (self.sent - self.read)
        return prompt_tokens * self.sent + completion_tokens * self.received - less


def stated_price(lm: Any, budget: Budget) -> Price | None:
    """The price that the budget itself states for a model; None where it states none."""
    name = str(getattr(lm, "model", ""))
    found = budget.prices.get(name) or budget.prices.get(name.partition("/")[2])
    return Price(*(one / _MILLION for one in found)) if found is not None else None


def price_of(lm: Any, budget: Budget) -> Price | None:
    """What a model costs at most: as the budget states it, or as LiteLLM knows it; None where neither does."""
    stated = stated_price(lm, budget)
    if stated is not None:
        return stated
    known = _known(str(getattr(lm, "model", "")))
    # Long prompts and other tiers cost more, and so do tokens that the provider's prompt cache is to keep, which a
    # request may ask for: the bound is the dearest.
    sent, received = (
        [value for name, value in known.items() if name.startswith(names) and value is not None]
        for names in (("input_cost_per_token", "cache_creation_input_token_cost"), "output_cost_per_token")
    )
    return Price(max(sent), max(received)) if sent and received else None


def longest_answer(lm: Any, settings: Mapping[str, Any] | None = None) -> int | None:
    """The most tokens that one answer can have, by the request's settings or the model's; None: nothing says so."""
    known = _stated_length(lm, settings or {}) or _known(str(getattr(lm, "model", ""))).get("max_output_tokens")
    return int(known) if known else None


def takes(lm: Any, kind: str) -> bool | None:
    """Whether a model takes images ("vision"), "audio_input" or "pdf_input", as LiteLLM knows it; None: not known."""
    return _known(str(getattr(lm, "model", ""))).get(f"supports_{kind}")


def _stated_length(lm: Any, settings: Mapping[str, Any]) -> int | None:
    for given in (settings, getattr(lm, "kwargs", None) or {}):
        found = [int(given[name]) for name in _LIMITS if given.get(name)]
        if found:
            return max(found)
    return None


def unheld(lm: Any, budget: Budget, where: str = "", settings: Mapping[str, Any] | None = None) -> str:
    """Why a budget in tokens or US dollars cannot be held for a language model, in words; "" where it can.

    Args:
        where: Where the language model was found.
        settings: Those of one request; they may say how long its answer can be.
    """
    name, bound = getattr(lm, "model", "?"), "tokens" if budget.tokens is not None else "usd"
    title = f"{name!r} ({where})" if where else repr(name)
    if budget.tokens is None and budget.usd is None:
        return ""
    if longest_answer(lm, settings) is None:
        return (
            f"budget.{bound} cannot be held: nothing says how long an answer of {title} can be; "
            "make it dspy.LM(..., max_tokens=...)"
        )
    if budget.usd is not None and price_of(lm, budget) is None:
        return (
            f"budget.usd cannot be held: the price of {title} is not known; state it, "
            f"Budget(usd=..., prices={{{name!r}: (0.15, 0.6)}}), in US dollars for a million tokens sent and received"
        )
    return ""


def bound_of(lm: Any, budget: Budget, asked: Any, settings: Mapping[str, Any]) -> Bound:
    """The most that a request can cost, by its prompt or messages and its settings, as far as the budget asks for it.

    No tokenizer makes more tokens of a text than it has bytes.

    Raises:
        ModelUnavailable: If nothing says so; the check before the run does not find a model that is made on the way.
    """
    if budget.tokens is None and budget.usd is None:
        return Bound(calls=_completions(lm, settings))
    if why := unheld(lm, budget, settings=settings):
        raise ModelUnavailable(ModelError(why))
    return most_of(lm, budget, asked, settings)


def most_of(lm: Any, budget: Budget, asked: Any, settings: Mapping[str, Any], answered: Any = None) -> Bound:
    """The same whatever the budget bounds; where nothing says how long an answer can be, by the answer itself."""
    # What LiteLLM knows is asked only where a budget needs it: importing it takes seconds.
    needed = budget.tokens is not None or budget.usd is not None
    completions = _completions(lm, settings)
    sent = _bytes(asked) + sum(_bytes(settings[name]) for name in ("tools", "response_format") if settings.get(name))
    received = longest_answer(lm, settings) if needed else _stated_length(lm, settings)
    received = received if received is not None else _bytes(answered or "")
    price = price_of(lm, budget) if needed else stated_price(lm, budget)
    usd = price.usd(sent, received) * completions if price is not None else 0.0
    return Bound(calls=completions, tokens=(sent + received) * completions, usd=usd)


def batch_share(lm: Any) -> float:
    """What a request costs in a batch, as a share of its ordinary price: a half, or what LiteLLM knows of the model."""
    known = _known(str(getattr(lm, "model", "")))
    names = ("input_cost_per_token", "output_cost_per_token")
    shares = [
        known[f"{name}_batches"] / known[name] for name in names if known.get(f"{name}_batches") and known.get(name)
    ]
    return max(shares, default=HALF)


def _completions(lm: Any, settings: Mapping[str, Any]) -> int:
    return int(settings.get("n") or (getattr(lm, "kwargs", None) or {}).get("n") or 1)


def _bytes(asked: Any) -> int:
    text = asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False, default=str)
    messages = len(asked) if isinstance(asked, (list, tuple)) else 1
    media = sum(text.count(f'"{kind}"') for kind in _MEDIA)
    return len(text.encode("utf-8", "surrogatepass")) + messages * _MESSAGE_TOKENS + media * _IMAGE_TOKENS


_PATCHED = Patched()


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
    with _PATCHED.inside(lambda: [(costs, "model_info", _remembering)] if hasattr(costs, "model_info") else []):
        yield


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

    before, litellm.suppress_debug_info = litellm.suppress_debug_info, True  # it prints about unknown models
    try:
        return dict(litellm.get_model_info(model))
    except Exception:  # noqa: BLE001 - LiteLLM raises plain Exception for a model that it does not know
        return {}
    finally:
        litellm.suppress_debug_info = before


ASKED = ("prompt", "messages", "request", "outputs")
"""What an entry of DSPy's history holds besides what an answer alone tells."""
_COUNTED = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens"}
"""Counts, and what they are called where a client passes on what OpenAI's Responses say."""
_CACHED = {
    "cache_read_tokens": ("cached_tokens", "cache_read_input_tokens"),
    "cache_write_tokens": ("cache_creation_tokens", "cache_write_tokens", "cache_creation_input_tokens"),
}
"""How much of the prompt the provider's cache held, or was to keep, and what clients and providers call it."""


def _counted(usage: Mapping[str, Any], name: str) -> int:
    return count(usage.get(name)) or count(usage.get(_COUNTED[name]))


def _cached(usage: Mapping[str, Any]) -> dict[str, int]:
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    told = {**usage, **(details if isinstance(details, Mapping) else {})}
    sent = _counted(usage, "prompt_tokens")
    return {name: min(sent, max(count(told.get(one)) for one in names)) for name, names in _CACHED.items()}


class RequestUsage(UsageTracker):
    """Learns from DSPy whether one request was answered by a server or by the cache, and at what price."""

    def __init__(self, parent: Any, quiet: bool) -> None:
        super().__init__()
        self.parent = parent
        self.quiet = quiet
        self.entry: Any = None
        self.asked: Any = None
        self.outputs: Any = None
        self.problem: Exception | None = None
        self.recalled = False
        self.begun = self.sent = False
        self.passed_on: Callable[[], None] | None = None
        self.sends: Callable[[], None] = lambda: None
        self.lay: Callable[[Any], Any] | None = None
        self.laid: Any = None
        self.usage: list[dict[str, Any]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestUsage:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        """Note an answer that a server gave."""
        # DSPy calls this for every answer that did not come from its cache, and only for those.
        entry = countable(usage_entry)
        self.usage.append(entry)
        if self.parent is not None:
            self.parent.add_usage(lm, entry)

    @property
    def tokens(self) -> dict[str, int]:
        """What the server counted: prompt_tokens and completion_tokens; what only its total holds was received."""
        sent, received = (sum(_counted(usage, name) for usage in self.usage) for name in _COUNTED)
        whole = sum(count(usage.get("total_tokens")) for usage in self.usage)
        return dict(zip(_COUNTED, (sent, max(received, whole - sent)), strict=True))

    @property
    def cached(self) -> dict[str, int]:
        """What it says of its prompt cache: cache_read_tokens and cache_write_tokens."""
        found = [_cached(usage) for usage in self.usage]
        return {name: sum(one[name] for one in found) for name in _CACHED}

    @property
    def reported(self) -> dict[str, Any]:
        """All that the server counted, as DSPy was told; empty where the cache answered."""
        return dict(self.usage[0]) if len(self.usage) == 1 else self.tokens if self.usage else {}

    @property
    def shown(self) -> dict[str, Any] | None:
        """The entry that DSPy's history got, without what is known from the request; None where it got none."""
        if not isinstance(self.entry, dict):
            return None
        return {name: value for name, value in self.entry.items() if name not in ASKED}

    def spent(self, most: Callable[[], Bound], price: Price | None = None) -> Spent:
        """What the answered request cost, at a price or the client's own; `most` where the server did not say."""
        if not self.usage and isinstance(self.entry, dict):
            return Spent(cached=1)
        entry = self.entry if isinstance(self.entry, dict) else {}
        replies = entry.get("response")
        # DSPy's native engine sends one request for each completion that `n` asks for.
        calls = len(replies) if isinstance(replies, (tuple, list)) else 1
        tokens, cached = self.tokens, self.cached
        read = cached["cache_read_tokens"]
        cost = price.usd(*tokens.values(), cache_read_tokens=read) if price is not None else entry.get("cost")
        unpriced = int(cost is None)
        said = (0 if any(cached.values()) else _letters(self.asked), _letters(self.outputs))
        few = any(told * _LETTERS_OF_A_TOKEN < letters for told, letters in zip(tokens.values(), said, strict=True))
        if few or not tokens["prompt_tokens"]:
            # A server that says nothing of its tokens, or that it took next to none, has told nothing.
            bound = most()
            return Spent(calls=calls, unsure_tokens=bound.tokens, unsure_usd=bound.usd, unpriced=unpriced)
        return Spent(calls=calls, **tokens, usd=float(cost or 0.0), unpriced=unpriced, **cached)

    def spent_in_vain(
        self, error: Exception, most: Callable[[], Bound], price: Price | None = None, *, seen: bool = False
    ) -> Spent:
        """What a request cost that ended in an error: at most its bound, since what a silent server did is unknown.

        Args:
            seen: Whether whatever its client sends is seen; it may still send where it was not waited for any longer.
        """
        if self.usage:
            return self.spent(most, price)
        if was_never_sent(error, self.sent) or (seen and not self.sent and not isinstance(error, LMTimeoutError)):
            return Spent()
        if was_refused(error):
            return Spent(calls=1)
        return replace(most(), calls=1).lost


def _letters(said: Any) -> int:
    """How long a question or an answer is; of what is no text, 1."""
    items = said if isinstance(said, (list, tuple)) else [said]
    texts = [one.get("content") or one.get("text") if isinstance(one, dict) else one for one in items]
    return sum(len(text) if isinstance(text, str) else 1 for text in texts if text)


class Outside(UsageTracker):
    """Books the answered calls of language models that a program keeps where we cannot replace them."""

    def __init__(self, ledger: Ledger, purpose: Purpose, parent: Any) -> None:
        super().__init__()
        self.ledger = ledger
        self.purpose = purpose
        self.parent = parent

    def __deepcopy__(self, memo: dict[int, Any]) -> Outside:
        return self

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        """Book an answer that a server gave."""
        attempt = dspy.settings.usage_tracker
        if self.parent is not None and not (isinstance(attempt, RequestUsage) and attempt.recalled):
            self.parent.add_usage(lm, usage_entry)
        if isinstance(attempt, RequestUsage):
            return  # it came through a metered client, which books it itself, retries included
        entry = countable(usage_entry)
        tokens = {name: _counted(entry, name) for name in _COUNTED}
        self.ledger.book((self.purpose, ""), Spent(calls=1, **tokens, **_cached(entry), unpriced=1))
