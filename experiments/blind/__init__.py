"""Three simulated worlds of an author who had seen the README, the guides and the public names, and no code."""
