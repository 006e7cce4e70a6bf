"""A language model made of rules that can be taught, for the studies, the notebook and the documentation.

with SimulatedModel(seed=0).serve() as server:
    dspy.configure(lm=server.lm())
"""

from .model import SimulatedModel

__all__ = ["SimulatedModel"]
