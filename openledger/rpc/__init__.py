"""JSON-RPC over HTTP and WebSocket, blobs over HTTP, the web page, and the client.

A file per namespace. This room decodes, asks and encodes; it decides nothing about the chain and imports no torch.

The path of a request: HTTP or WebSocket -> server.py (limits) -> dispatch -> a namespace method -> Backend (stores,
engine, consensus client) -> JSON.
"""
