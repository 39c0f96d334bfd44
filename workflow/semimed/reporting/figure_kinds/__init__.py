"""The kinds of figures, one file each: ``inputs(run)`` names a run's files, ``draw(figure, study, options)`` fills a figure."""
