"""Semantic backpropagation for DSPy programs with more than one predictor (arXiv 2412.03624).

Every public name is listed in `__init__.pyi`, and is imported when it is first used: a program that compiles nothing
does not pay for what compiling takes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
