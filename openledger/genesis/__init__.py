"""The genesis file: chain parameters, limits, accounts, validators; presets; validation."""
