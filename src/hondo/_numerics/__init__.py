"""How the library is exact: dtypes to accumulate in, norms in range, checks before tracing."""
