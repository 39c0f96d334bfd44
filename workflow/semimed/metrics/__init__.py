"""The numbers of the tables: `segmentation` for label maps, `classification` for class probabilities."""
