"""What a run hands over: today its provenance."""
