"""Optimizers against each other: same program, examples, models and cap."""
