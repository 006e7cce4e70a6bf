"""Logs of executions that cannot be run again, as computation graphs: one reader for each format."""
