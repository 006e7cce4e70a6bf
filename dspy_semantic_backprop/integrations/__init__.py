"""Other tools: GEPA, MLflow, Weights & Biases, progress bars."""
