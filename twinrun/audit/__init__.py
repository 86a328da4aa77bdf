"""What is wrong with the data, and which images are copies."""
