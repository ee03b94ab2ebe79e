"""Parameters in state, and the community pool, which is the balance of the governance account."""
