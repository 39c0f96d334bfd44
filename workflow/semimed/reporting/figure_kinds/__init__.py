"""The kinds of figures, one file each: ``draw(figure, study, options)`` fills a figure; the rest is shared between them."""
