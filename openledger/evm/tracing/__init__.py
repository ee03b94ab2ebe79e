"""Traces of one transaction or call, in the output forms of geth's built-in tracers."""
