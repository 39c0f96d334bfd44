"""Semimed: semi-supervised learning on medical images, benchmarked honestly.

The library behind the workflow. It never imports snakemake, and what the workflow imports for planning never imports torch.
"""

__version__ = "0.1.0"
