"""Pieces of single methods that have a file of their own; they count as source of every method that imports them."""
