"""``python -m openledger.node`` is the program ``openledger``."""

from openledger.node.cli.root import main

if __name__ == "__main__":
    main()
