"""Datanets: data sets with an owner, rules and a linear history of versions; every contribution has an owner."""
