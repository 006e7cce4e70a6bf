"""A server for tests: a function of your own answers in place of a language model, behind the real client.

with SimulatedServer(answer) as server:
    lm = server.lm()
"""

from .prompt import Prompt
from .server import AnswerFunction, Faults, ServedRequest, SimulatedServer

__all__ = ["AnswerFunction", "Faults", "Prompt", "ServedRequest", "SimulatedServer"]
