"""Whether a program got worse than a baseline: a gate for continuous integration."""
