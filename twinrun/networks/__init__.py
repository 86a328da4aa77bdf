"""Families of networks: their names in the settings, their backbones, their pretrained weights."""
