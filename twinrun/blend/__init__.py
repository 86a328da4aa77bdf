"""From the members' predictions to a submission."""
