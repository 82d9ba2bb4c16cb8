"""Pages of metrics in Prometheus's text format, put together into one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


class MalformedPage(ValueError):
    """What a replica served is not Prometheus's text format."""


def parse(text: str) -> list[Metric]:
    """The metrics of a page. Raises MalformedPage."""
    try:
        return list(text_string_to_metric_families(text))
    except ValueError as error:
        raise MalformedPage(str(error)) from error


def up(is_up: bool) -> Metric:
    """Whether the metrics of a replica could be read, as a metric."""
    return GaugeMetricFamily("chronos_up", "Whether the replica's metrics could be read.", value=float(is_up))


def merge(pages: Iterable[tuple[Mapping[str, str], Sequence[Metric]]]) -> str:
    """One page with the samples of all, each with its page's labels added, ordered by metric.

    A label that a sample has already is kept as `exported_<label>`, as Prometheus itself does when it scrapes.
    """
    merged: dict[str, Metric] = {}
    for labels, metrics in pages:
        for part in metrics:
            whole = merged.setdefault(part.name, Metric(part.name, part.documentation, part.type))
            whole.samples += [sample._replace(labels=_with(labels, sample.labels)) for sample in part.samples]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged([merged[name] for name in sorted(merged)]))
    return generate_latest(registry).decode()


def _with(labels: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    return {**labels, **{f"exported_{name}" if name in labels else name: value for name, value in own.items()}}


class _Merged(Collector):
    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """See Collector."""
        yield from self._metrics
