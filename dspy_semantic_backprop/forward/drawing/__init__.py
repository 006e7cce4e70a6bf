"""Graphs as pictures and as texts of drawing languages."""
