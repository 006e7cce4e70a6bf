"""What surrounds a run: language models, budget and ledger, journal, events, limits."""
