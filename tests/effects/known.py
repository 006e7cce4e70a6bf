"""What replays do as yet that they must not: the lists only ever get shorter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

KNOWN = (
    "a_line_read_from_an_open_file",
    "a_message_taken_from_a_socket",
    "after the last predictor",
    "array_in_place",
    "attribute_of_a_function",
    "barrier_with_a_worker",
    "before the first predictor",
    "c_creat",
    "c_memset_on_shared_memory",
    "c_mkdir",
    "c_rename",
    "c_system",
    "c_unlink",
    "c_unlink_looked_up_in_the_program",
    "c_write",
    "condition_that_a_worker_waits_for",
    "connection_of_multiprocessing",
    "data_frame_in_place",
    "default_decimal_context",
    "default_timeout_of_sockets",
    "double_ended_queue",
    "event_that_a_worker_waits_for",
    "executor_of_processes_made_before",
    "file_in_a_global",
    "file_in_a_list",
    "file_in_an_object",
    "file_mode_mask",
    "filter_of_warnings",
    "function_cache",
    "function_to_call_at_exit",
    "future_of_the_application",
    "generator_consumed",
    "handler_of_a_signal",
    "hook_of_the_garbage_collector",
    "http_client_that_is_connected",
    "in a nested program",
    "in a thread",
    "in a value",
    "in an adapter",
    "item_taken_from_a_queue",
    "iterator_consumed",
    "limit_of_a_resource",
    "limit_of_recursion",
    "locale_of_the_process",
    "lock_of_multiprocessing_taken",
    "mapped_file",
    "mapped_file_flushed",
    "message_queue_of_the_kernel",
    "module_made_at_run_time",
    "numpy_array_in_place",
    "numpy_memmap",
    "object_with_slots",
    "only where an answer was changed",
    "os_chown",
    "os_mkfifo",
    "os_sendfile",
    "os_utime",
    "os_write",
    "os_writev",
    "patched_attribute_of_a_library",
    "path_of_imports",
    "pipe",
    "pool_of_processes_made_before",
    "priority_queue",
    "queue_of_a_task",
    "queue_of_a_worker",
    "queue_of_multiprocessing",
    "random_generator_of_numpy",
    "random_numbers_of_an_object",
    "raw_array_of_multiprocessing",
    "semaphore_of_multiprocessing",
    "semaphore_of_the_application",
    "semaphore_released",
    "semaphore_taken",
    "shared_memory",
    "shared_memory_attached_by_name",
    "simple_queue_of_a_worker",
    "simple_queue_of_multiprocessing",
    "socket_pair",
    "spans_that_an_exporter_sends",
    "sqlite_in_memory",
    "sqlite_that_is_connected",
    "standard_output_as_a_descriptor",
    "standard_output_kept_by_the_application",
    "stream_of_an_event_loop_of_another_thread",
    "stream_that_is_connected",
    "task_that_the_program_starts",
    "tcp_socket_that_is_connected",
    "thread_local_of_a_worker",
    "timer_signal",
    "value_of_a_context_held_by_the_application",
    "value_of_multiprocessing",
    "zip_file_that_is_open",
)
"""Kinds and places of effects that a replay repeats."""

UNSURE = (
    "aiohttp_session",
    "callback_of_litellm",
    "httpx_client",
    "httpx_client_that_is_connected",
    "openai_client",
    "openai_client_that_is_connected",
)
"""Kinds that a replay repeats unless something that the first execution loads looks like an effect."""


def each(names: Iterable[str]) -> list[Any]:
    """Parameters of a test, of which those in the lists are expected to fail."""
    return [pytest.param(name, marks=_mark(name)) for name in names]


def _mark(name: str) -> Any:
    return pytest.mark.xfail(strict=name in KNOWN, reason="a replay repeats it") if name in KNOWN + UNSURE else ()


not_yet = pytest.mark.xfail(strict=True, reason="replays run in the process itself")
