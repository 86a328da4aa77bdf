"""New images through the members of a run: predictions, or a submission."""
