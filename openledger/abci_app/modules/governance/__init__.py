"""Governance: proposals that the stake votes on, the parameters in state, the community pool, planned upgrades.

    gov.propose -> deposits gather -> the vote -> counted at its end -> what was proposed is done, or nothing is
    (expired: deposits back)                      (rejected: back; vetoed, or less than a quorum: burned)

What a proposal would do is an ``Effect``, a class in a registry: it is checked when it is proposed, shown on a fork of
the state to everybody who is about to vote, and checked again when it is done. Modules above bring their own
(``registry.EFFECTS``). The community pool is the balance of the governance account; deposits lie in an account of their
own. No vote crosses the bounds of ``genesis.params``. Decisions: ``docs/adr/0069``.
"""
