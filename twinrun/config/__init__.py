"""competition.toml as typed settings: schema, reading, the layout of a data folder."""
