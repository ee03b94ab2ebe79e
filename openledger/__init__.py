"""OpenLedger node: an ABCI 2.0 application with an EVM, datanets and verified attribution."""

__version__ = "0.1.0"
