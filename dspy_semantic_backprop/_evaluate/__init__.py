"""Programs on examples -> outcomes: scored, or failed for a reason that is not the program's."""
