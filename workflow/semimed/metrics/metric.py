"""What the tables need to know of a metric."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """How a metric is named, printed and ranked; a ``percent`` metric is stored as a fraction and printed times 100.

    One that is not ``per_case`` is of all cases together: it has no value for one of them, and so no paired test.
    """

    name: str
    title: str
    unit: str
    percent: bool
    higher_is_better: bool
    decimals: int
    doc: str
    per_case: bool = True
