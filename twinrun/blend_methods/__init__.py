"""Every way to blend members: the table, and the means and weights that its entries are made of."""
