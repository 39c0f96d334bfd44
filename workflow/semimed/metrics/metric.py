"""What the tables need to know of a metric."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a metric is named, printed and ranked; a ``percent`` metric is stored as a fraction and printed times 100."""

    name: str
    title: str
    unit: str
    percent: bool
    higher_is_better: bool
    decimals: int
    doc: str
