"""Edges from the program's code: an abstract run of it that follows where values go."""
