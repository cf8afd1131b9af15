"""What the layers of linen and of nnx have in common."""
