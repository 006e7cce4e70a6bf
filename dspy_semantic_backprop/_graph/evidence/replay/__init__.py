"""Edges from replays: one recorded answer is changed, and what moves is seen."""
