"""From a data folder to the answers that a new project needs."""
