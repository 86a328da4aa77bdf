"""What Python and notebooks use: projects, runs, their differences, named as the commands are."""
