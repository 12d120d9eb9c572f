"""Where faces are: a published detector, composed scenes, the locator, and the crops."""
