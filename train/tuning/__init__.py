"""A shipped model fitted to one's own photographs: labels, the head, the proof, the page."""
