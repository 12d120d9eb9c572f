"""From the inbox to open files: watching, listing, settling, opening."""
