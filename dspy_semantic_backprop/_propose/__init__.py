"""Gradients -> proposals: which examples and predictors, lessons, rewrites, and what a text must respect."""
