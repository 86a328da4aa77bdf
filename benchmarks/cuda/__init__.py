"""What a GPU shows, measured in one command: `python -m benchmarks.cuda`."""
