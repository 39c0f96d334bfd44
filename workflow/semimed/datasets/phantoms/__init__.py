"""Painters of synthetic images, which data sets write in their own raw layouts."""
