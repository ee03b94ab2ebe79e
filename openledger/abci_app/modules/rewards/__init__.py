"""Who earns what: the split of a claim's fee, the mint at the close of an epoch, and taking what was earned."""
