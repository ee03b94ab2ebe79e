"""Validators and their power. Thin today: the set of genesis; delegation and changes come with their own actions."""
