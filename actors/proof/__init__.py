"""Evidence on disk: packages and their stores, the signing key, timestamps, sealing, redaction."""
