"""Dated AWS list prices. They are not live: AWS may have changed them since.

Free tiers, savings plans, taxes and credits are not included. A region or an instance that is not in the table is an
error, never a guess; add it here with its source and date, or pass your own table to
:func:`scones_ml.cost.estimate.estimate`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scones_ml.errors import ConfigurationError

__all__ = [
    "HOURS_A_MONTH",
    "PRICES",
    "Price",
    "PriceTable",
    "alarm_hourly_price",
    "hourly_price",
    "price_table",
]

HOURS_A_MONTH: Final = 730
"""As in AWS's calculator: 365 days of 24 hours, over 12 months."""

Item = Literal[
    "alarm",
    "endpoint data",
    "event",
    "express duration",
    "express request",
    "lambda arm64",
    "lambda request",
    "lambda x86_64",
    "log",
    "metric",
    "s3 get",
    "s3 put",
    "serverless duration",
    "transition",
]


@dataclass(frozen=True)
class Price:
    """One list price.

    Attributes:
        dollars: US dollars for one unit.
        unit: the unit.
        date: date of the price, ``YYYY-MM`` or ``YYYY-MM-DD``.
        source: source of the price.
    """

    dollars: float
    unit: str
    date: str
    source: str


@dataclass(frozen=True)
class PriceTable:
    """The prices of one region.

    Attributes:
        region: name of the region.
        items: prices by name, except instances.
        instances: price of one SageMaker instance for one hour, by type; the same for endpoints and batch transform.
    """

    region: str
    items: Mapping[Item, Price]
    instances: Mapping[str, Price]

    @property
    def as_of(self) -> str:
        """Date of its oldest price, ``YYYY-MM``."""
        return min(price.date[:7] for price in (*self.items.values(), *self.instances.values()))

    def item(self, name: Item) -> float:
        """Dollars for one unit of ``name``."""
        return self.items[name].dollars

    def instance(self, name: str) -> float:
        """Dollars for one hour of a SageMaker instance.

        Raises:
            ConfigurationError: the instance's price in this region is unknown.
        """
        if name not in self.instances:
            raise ConfigurationError(
                f"no price is known for {name!r} in {self.region}: known are {', '.join(self.instances)}"
                f"{_nearest(name, self.instances)}"
            )
        return self.instances[name].dollars


def price_table(region: str = "us-east-1") -> PriceTable:
    """The prices of a region.

    Raises:
        ConfigurationError: no prices are known for the region.
    """
    if region not in PRICES:
        raise ConfigurationError(
            f"no prices are known for the region {region!r}: known are {', '.join(PRICES)}{_nearest(region, PRICES)}"
        )
    return PRICES[region]


def hourly_price(region: str, instance: str, instances: int = 1) -> float | None:
    """Dollars for one hour of SageMaker instances of one type; None when the price is unknown."""
    table = PRICES.get(region)
    price = table.instances.get(instance) if table else None
    return instances * price.dollars if price else None


def alarm_hourly_price(region: str) -> float | None:
    """Dollars for one hour of an alarm on one metric; None when the price is unknown."""
    table = PRICES.get(region)
    return table.item("alarm") / HOURS_A_MONTH if table else None


def _nearest(word: str, known: Mapping[str, object]) -> str:
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"; did you mean {found[0]!r}?" if found else ""


_MILLION: Final = 1_000_000  # the table's unit for requests and transitions; AWS lists some by the thousand
_STATES = "https://aws.amazon.com/step-functions/pricing/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_SAGEMAKER = "https://aws.amazon.com/sagemaker/pricing/"
_CLOUDWATCH = "https://aws.amazon.com/cloudwatch/pricing/"
_EVENTBRIDGE = "https://aws.amazon.com/eventbridge/pricing/"

PRICES: Final[Mapping[str, PriceTable]] = {
    "us-east-1": PriceTable(
        region="us-east-1",
        items={
            "transition": Price(25 / _MILLION, "state transition of a Standard workflow", "2026-11", _STATES),
            "express request": Price(1 / _MILLION, "execution of an Express workflow", "2026-11", _STATES),
            "express duration": Price(0.00001667, "GB-second of an Express workflow", "2026-11", _STATES),
            "lambda request": Price(0.20 / _MILLION, "invocation", "2026-08-31", _LAMBDA),
            "lambda x86_64": Price(0.0000166667, "GB-second on x86_64", "2026-08-31", _LAMBDA),
            "lambda arm64": Price(0.0000133334, "GB-second on arm64", "2026-08-31", _LAMBDA),
            "s3 put": Price(5 / _MILLION, "PUT or LIST request", "2026-11", _S3),
            "s3 get": Price(0.40 / _MILLION, "GET request", "2026-11", _S3),
            # Sources differ on whether S3's events are free; this is the more expensive reading.
            "event": Price(1 / _MILLION, "S3 event through EventBridge", "2026-11", _EVENTBRIDGE),
            "log": Price(0.50, "GB of ingested logs", "2026-11", _CLOUDWATCH),
            "alarm": Price(0.10, "month of an alarm, for each metric that it watches", "2026-11", _CLOUDWATCH),
            "metric": Price(0.30, "custom metric for a month with data", "2026-11", _CLOUDWATCH),
            "serverless duration": Price(0.00002, "GB-second of a serverless endpoint", "2026-11", _SAGEMAKER),
            "endpoint data": Price(0.016, "GB of data processed by an endpoint", "2026-11", _SAGEMAKER),
        },
        instances={
            "ml.m5.large": Price(0.115, "hour", "2026-09-28", _SAGEMAKER),
            "ml.m5.xlarge": Price(0.23, "hour", "2026-09-28", _SAGEMAKER),
        },
    )
}
"""Every price table by region."""
