"""placeholder"""

COMMANDS = []
