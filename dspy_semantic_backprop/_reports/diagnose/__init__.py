"""Who is to blame for a program's failures."""
