"""Proof of Attribution on chain: claims, the validators' verdicts, and how a claim ends.

pending (validators attest that they hold every blob) -> voting (each commits to a digest of its verdict) -> reveal
(verdict, salt, and scores of drawn rows) -> accepted, refused or lapsed. Floats never come here: validators vote on
integers that the claim names.
"""
