"""What every room needs, importing no other room.

Addresses, hashes, amounts, keys, codecs, the error tree, both transaction envelopes, and the
attribution job and verdict that cross the process boundary. Everything here is a plain value or a pure
function: no clock, no environment, no files, no randomness except fresh keys asked for by a person.
"""
