"""Adapters to what lies outside: each sends one document, or says in words why it could not."""
