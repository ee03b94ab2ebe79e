"""The command line, configuration, keystore, wiring, engines, metrics and logging.

The only room that reads the environment, configuration files, or the clock on behalf of others.
"""
