"""Texts without secrets: which are known by form, which by heart, and how errors lose them."""
