"""What is wrong with a prepared set: copies, swapped labels, empty pictures, and their page."""
