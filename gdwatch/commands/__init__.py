"""One module for each verb; `cli` holds their words and options."""
