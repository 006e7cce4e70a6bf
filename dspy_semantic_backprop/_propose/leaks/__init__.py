"""What an instruction must not quote: the examples that it is scored on."""
