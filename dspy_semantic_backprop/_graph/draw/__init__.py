"""Graphs as pictures and texts."""
