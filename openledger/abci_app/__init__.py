"""The application: state' = f(state, block), behind the calls of ABCI 2.0.

``application.py`` has one short method per ABCI call; ``block.py`` is f; ``modules/`` are the native actions and the
money; ``protocol/`` is the wire. Nothing here reads a clock, the environment or the network; no floats, no
catch-all: a refusal is an ``InvalidTransaction`` leaf and becomes a receipt, anything else stops the node.

The path of a block: bytes -> protocol -> Application.finalize_block -> block.execute_block -> (overlay, engine,
modules) -> roots -> answer; Application.commit writes it.
"""
