"""How the library is fast: the only door to machinery. Each file begins with its plain form."""
