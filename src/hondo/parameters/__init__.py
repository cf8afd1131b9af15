"""What each parameter of a network is, and what its units are, told from names and shapes."""
