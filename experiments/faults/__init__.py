"""Programs with one broken instruction, the simulated world they live in, and the methods that look for it."""
