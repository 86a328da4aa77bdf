"""Every number of the settings at its bounds, as their fields have them."""
