"""The edge to the consensus engine: ABCI 2.0 messages as plain values, their wire form, and the socket server.

The only place that knows protobuf. Source: CometBFT's ABCI specification (package ``tendermint.abci``, as spoken by
0.38 and 0.40).
"""
