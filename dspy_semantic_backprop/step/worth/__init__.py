"""Whether optimising is worth it: noise, what can be detected, and what speaks against it."""
