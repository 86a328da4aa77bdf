"""Several ranks that train one member together: an extra."""
