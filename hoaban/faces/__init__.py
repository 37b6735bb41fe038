"""Faces against a lawful watchlist: pure parts. What is kept and what never is: docs/roles/face-watchlist.md."""
