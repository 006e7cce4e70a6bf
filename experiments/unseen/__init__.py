"""Three simulated worlds of a referee who had seen neither the optimizer's code nor any other world or figure."""
