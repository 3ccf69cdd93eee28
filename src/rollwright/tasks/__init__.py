"""Task specifications and the generators that make them."""
