"""The fee market (EIP-1559) and the supply: what was there, what was minted, what was burned."""
