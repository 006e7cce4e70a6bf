"""A graph and a seed -> one gradient per call."""
