"""Metrics of both tasks: what they are called, how they are printed, and how they are computed."""

from . import classification, segmentation
from .metric import Metric

#: every metric by name
METRICS: dict[str, Metric] = {**segmentation.METRICS, **classification.METRICS}
