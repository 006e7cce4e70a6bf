"""A server for tests: a function of your own answers in place of a language model, behind the real client.

with SimulatedServer(answer) as server:
    lm = server.lm()
"""

from .batches import BatchDesk, BatchFaults
from .faults import CONNECTIONS, REPLIES, Faults
from .prompt import Prompt
from .server import AnswerFunction, ServedRequest, SimulatedServer

__all__ = [
    "CONNECTIONS",
    "REPLIES",
    "AnswerFunction",
    "BatchDesk",
    "BatchFaults",
    "Faults",
    "Prompt",
    "ServedRequest",
    "SimulatedServer",
]
