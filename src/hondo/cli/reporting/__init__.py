"""What `hondo report` says of a run: its scores, its mistakes, their pictures."""
