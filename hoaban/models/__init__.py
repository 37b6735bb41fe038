"""Models as the core knows them: cards, and the mathematics between pixels and boxes."""
