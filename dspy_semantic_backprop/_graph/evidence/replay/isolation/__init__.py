"""A program that can run once more without the world noticing: copies, what surrounds them, effects refused."""
