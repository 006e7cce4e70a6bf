"""What the program's text says about its data flow: an abstract run of its code, for where nothing is replayed."""
