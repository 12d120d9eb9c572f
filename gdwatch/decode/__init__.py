"""From the bytes of a file to an upright photograph, or a refusal. Nothing here loads torch."""
