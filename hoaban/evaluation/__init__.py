"""Whether a model may take another's place: events against truth, segment by segment, and a test on the differences."""
