"""How long trainings take, as measured on two steps, and which of them fit into a time."""
