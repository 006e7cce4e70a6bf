"""A program is run once, and every call is kept."""
