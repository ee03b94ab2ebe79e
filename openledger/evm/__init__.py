"""The Ethereum virtual machine as a function over flat state.

An engine takes an environment, transactions and a reader of state, and gives results and a diff. It never touches
the database or the trie, keeps nothing of an abandoned run, and reads no clock. ``validate_tx`` runs before every
engine, so that all refuse alike. The reference is py-evm; a native engine gives identical bytes.
"""
