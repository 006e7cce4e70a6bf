"""What may be told of a language model: its name and its harmless settings.

A list of what is harmless, and none of what is secret, for providers name their credentials as they like
(`azure_ad_token`, `extra_body={"password": ...}`), and a setting that nobody has thought of is not told. The price:
such a setting is no part of what makes two runs the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .forms import formless

HARMLESS = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "top_a", "typical_p", "tfs_z", "n", "best_of", "seed"),
        *("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "num_ctx", "num_predict"),
        *("stop", "stop_sequences", "presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty"),
        *("logprobs", "top_logprobs", "logit_bias", "response_format", "response_mime_type", "response_schema"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar", "verbosity", "modalities"),
        *("reasoning_effort", "effort", "budget_tokens", "thinking_budget", "enable_thinking", "include_reasoning"),
        *("tool_choice", "parallel_tool_calls", "do_sample", "use_beam_search", "early_stopping", "ignore_eos"),
        *("mirostat", "mirostat_eta", "mirostat_tau", "skip_special_tokens", "safe_prompt", "truncation", "type"),
        *("model_type", "service_tier", "api_version", "custom_llm_provider", "drop_params", "stream"),
        *("aws_region_name", "vertex_location", "summary", "quantizations", "rollout_id"),
    )
)
_CONTAINERS = frozenset(
    (
        *("extra_body", "optional_params", "chat_template_kwargs", "thinking", "reasoning", "generation_config"),
        *("generationConfig", "options", "config", "provider", "thinking_config", "text"),
    )
)
"""Settings that hold further ones."""


def sampling(lm: Any) -> dict[str, Any]:
    """What the answers of a language model depend on besides the question: its name and its harmless settings."""
    # Not by what was learned: what two runs have in common must not depend on the keys that a process has met before.
    name = formless(str(getattr(lm, "model", type(lm).__name__)))
    return {"model": name, "settings": harmless(getattr(lm, "kwargs", None) or {})}


def harmless(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those settings that may be read by anybody."""
    told = {name: value for name, value in settings.items() if name in HARMLESS}
    inner = {name: value for name, value in settings.items() if name in _CONTAINERS and isinstance(value, Mapping)}
    return told | {name: found for name, value in inner.items() if (found := harmless(value))}
