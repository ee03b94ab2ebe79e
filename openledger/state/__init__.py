"""What the chain remembers: flat head tables, tries, reverse diffs, blocks, receipts, indexes, blobs.

This room decides consensus only through roots: the state root over accounts and storage. It must never read a clock,
and nothing here is written before ``StateStore.commit``, which is one atomic synced batch a block.

The path: a block runs on an ``Overlay`` over a ``StateReader``; its ``Diff`` goes to ``StateStore.prepare``, which
computes the state root and writes nothing; the sealed block and the prepared diff go to ``StateStore.commit``.
"""
