"""Whether a proposal replaces the program that it was made from, and what a run returns."""
