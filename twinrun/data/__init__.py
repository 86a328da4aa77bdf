"""From a folder of raw images to batches of tensors."""
