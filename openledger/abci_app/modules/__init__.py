"""The native state machine, a folder per module. They call each other downward only:

accounts < fees < staking < governance < datanets < models < attribution < rewards.

``records.py`` is the only file of a module that knows its keys; an action is one file; others use its functions.
"""
