"""One execution of a program -> its computation graph: who fed whom, and how that is known."""
