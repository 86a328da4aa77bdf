"""What makes two runs the same: the environment they start in and the randomness they draw."""
