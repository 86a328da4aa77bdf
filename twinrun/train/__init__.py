"""From batches of tensors to trained members and their predictions."""
