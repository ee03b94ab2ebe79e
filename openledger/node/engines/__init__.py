"""Consensus engines: ``solo`` (one validator in this process) and ``cometbft`` (a child process behind our ABCI
server).

Both drive the same application through the same calls and implement ``rpc.ports.ConsensusClient``; both end loudly:
``wait`` raises what stopped them. Beside them: ``binary`` finds CometBFT, ``home`` writes its folder, ``recorder``
keeps blocks.
"""
