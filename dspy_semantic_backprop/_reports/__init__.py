"""What a person is told: explanation, diagnosis, pre-flight, placebo, result."""
