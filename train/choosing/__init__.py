"""Active learning: which photographs a person's word would teach most."""
