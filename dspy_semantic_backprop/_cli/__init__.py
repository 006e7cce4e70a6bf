"""The command line: what is given there becomes arguments of the public functions, and their results text."""
