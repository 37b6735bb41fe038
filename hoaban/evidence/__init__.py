"""Evidence packages: what is in one, who signed it, whether it is whole, what was decided, how long it is kept."""
