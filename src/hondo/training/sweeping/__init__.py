"""Many runs in one program, each with its own early stop."""
