"""What takes the steps of a training: every optimizer of the recipes, in one table."""
