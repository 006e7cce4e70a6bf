"""Requests sent as batches of the provider, at half the price: gathered, taken there, waited for, handed out."""
