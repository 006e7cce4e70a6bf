"""Edges from values: identity and containment."""
