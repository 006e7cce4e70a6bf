"""Whether optimising is worth it, told before it is paid for."""
