"""What each experiment measures and draws, one file each."""
