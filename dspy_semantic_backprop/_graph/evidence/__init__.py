"""How an edge is known: from values, from replays, from the program's code."""
