"""One module for each command; `cli` declares their arguments and options."""
