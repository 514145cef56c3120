"""How a fact becomes a metric: names with our prefix, labels, values. Counts nothing and knows no fact."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily as Count
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.core import HistogramMetricFamily, Metric

from gateway.histogram import Histogram

PREFIX = "soup_gateway_"

Labels = tuple[str, ...]
Values = Iterable[tuple[Labels, float]]


def gauge_of(name: str, help: str, labels: Labels, values: Values) -> Metric:
    family = Gauge(PREFIX + name, help, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, float(value))
    return family


def count_of(name: str, help: str, labels: Labels, values: Values) -> Metric:
    family = Count(PREFIX + name, help, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, float(value))
    return family


def histogram_of(name: str, help: str, labels: Labels, values: Iterable[tuple[Labels, Histogram]]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, help, labels=labels)
    for label_values, histogram in values:
        buckets = [(_bound(bound), count) for bound, count in histogram.cumulative()]
        family.add_metric(label_values, buckets, histogram.sum)
    return family


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else str(value)
