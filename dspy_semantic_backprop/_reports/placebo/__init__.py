"""A method beside its placebos, at equal budget."""
