"""The random changes of training images, one table: settings, loaders and docs ask it."""
