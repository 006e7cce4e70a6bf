"""What the soak test is made of: a counting proxy, a run in a process of its own, and the checks."""
