"""How good a model is: evaluation, comparison, plots, and the page that shows them."""
