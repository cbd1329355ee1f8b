"""URIs of AWS's container images for training and inference, in one table each, by region.

Accounts are those of the SageMaker Python SDK, ``sagemaker-core/src/sagemaker/core/image_uri_config`` in
https://github.com/aws/sagemaker-python-sdk (``image-classification.json`` version 1, ``pytorch.json`` training 2.9.0
and inference 2.6.0, the latest of each), read on 2026-11-23. For a region that AWS adds later, pass the image's URI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scones_ml.errors import ConfigurationError

__all__ = [
    "IMAGE_CLASSIFICATION_ACCOUNTS",
    "PYTORCH_ACCOUNTS",
    "PYTORCH_INFERENCE_VERSION",
    "PYTORCH_VERSION",
    "image_classification_image",
    "pytorch_inference_image",
    "pytorch_training_image",
]

IMAGE_CLASSIFICATION_ACCOUNTS: Final[Mapping[str, str]] = {
    "af-south-1": "455444449433",
    "ap-east-1": "286214385809",
    "ap-northeast-1": "501404015308",
    "ap-northeast-2": "306986355934",
    "ap-northeast-3": "867004704886",
    "ap-south-1": "991648021394",
    "ap-south-2": "628508329040",
    "ap-southeast-1": "475088953585",
    "ap-southeast-2": "544295431143",
    "ap-southeast-3": "951798379941",
    "ap-southeast-4": "106583098589",
    "ca-central-1": "469771592824",
    "ca-west-1": "190319476487",
    "cn-north-1": "390948362332",
    "cn-northwest-1": "387376663083",
    "eu-central-1": "813361260812",
    "eu-central-2": "680994064768",
    "eu-north-1": "669576153137",
    "eu-south-1": "257386234256",
    "eu-south-2": "104374241257",
    "eu-west-1": "685385470294",
    "eu-west-2": "644912444149",
    "eu-west-3": "749696950732",
    "il-central-1": "898809789911",
    "me-central-1": "272398656194",
    "me-south-1": "249704162688",
    "sa-east-1": "855470959533",
    "us-east-1": "811284229777",
    "us-east-2": "825641698319",
    "us-gov-east-1": "237065988967",
    "us-gov-west-1": "226302683700",
    "us-iso-east-1": "490574956308",
    "us-isob-east-1": "765400339828",
    "us-isof-east-1": "108575199400",
    "us-isof-south-1": "124985052026",
    "us-west-1": "632365934929",
    "us-west-2": "433757028032",
}

_COMMERCIAL = "763104351884"
PYTORCH_VERSION: Final = "2.9.0"
PYTORCH_ACCOUNTS: Final[Mapping[str, str]] = {
    "af-south-1": "626614931356",
    "ap-east-1": "871362719292",
    "ap-east-2": "975050140332",
    "ap-northeast-1": _COMMERCIAL,
    "ap-northeast-2": _COMMERCIAL,
    "ap-northeast-3": "364406365360",
    "ap-south-1": _COMMERCIAL,
    "ap-south-2": "772153158452",
    "ap-southeast-1": _COMMERCIAL,
    "ap-southeast-2": _COMMERCIAL,
    "ap-southeast-3": "907027046896",
    "ap-southeast-4": "457447274322",
    "ap-southeast-5": "550225433462",
    "ap-southeast-6": "633930458069",
    "ap-southeast-7": "590183813437",
    "ca-central-1": _COMMERCIAL,
    "ca-west-1": "204538143572",
    "cn-north-1": "727897471807",
    "cn-northwest-1": "727897471807",
    "eu-central-1": _COMMERCIAL,
    "eu-central-2": "380420809688",
    "eu-isoe-west-1": "371248457586",
    "eu-north-1": _COMMERCIAL,
    "eu-south-1": "692866216735",
    "eu-south-2": "503227376785",
    "eu-west-1": _COMMERCIAL,
    "eu-west-2": _COMMERCIAL,
    "eu-west-3": _COMMERCIAL,
    "eusc-de-east-1": "204133271717",
    "il-central-1": "780543022126",
    "me-central-1": "914824155844",
    "me-south-1": "217643126080",
    "me-west-1": "124382933778",
    "mx-central-1": "637423239942",
    "sa-east-1": _COMMERCIAL,
    "us-east-1": _COMMERCIAL,
    "us-east-2": _COMMERCIAL,
    "us-gov-east-1": "446045086412",
    "us-gov-west-1": "442386744353",
    "us-iso-east-1": "886529160074",
    "us-isob-east-1": "094389454867",
    "us-isof-east-1": "303241398832",
    "us-isof-south-1": "454834333376",
    "us-west-1": _COMMERCIAL,
    "us-west-2": _COMMERCIAL,
}

PYTORCH_INFERENCE_VERSION: Final = "2.6.0"
_TRAINING_ONLY = ("eu-isoe-", "eusc-", "us-iso-", "us-isob-", "us-isof-")  # no inference image there

_DOMAINS = {  # by the region's first part; all others end in amazonaws.com
    "cn": "amazonaws.com.cn",
    "us-iso": "c2s.ic.gov",
    "us-isob": "sc2s.sgov.gov",
    "us-isof": "csp.hci.ic.gov",
    "eu-isoe": "cloud.adc-e.uk",
    "eusc": "amazonaws.eu",
}


def image_classification_image(region: str) -> str:
    """Image URI of the built-in Image Classification algorithm in a region.

    Raises:
        ConfigurationError: the region is not in the table.
    """
    return _uri(IMAGE_CLASSIFICATION_ACCOUNTS, region, "image-classification:1")


def pytorch_training_image(region: str, *, gpu: bool) -> str:
    """Image URI of AWS's PyTorch training container in a region.

    Raises:
        ConfigurationError: the region is not in the table.
    """
    processor = "gpu" if gpu else "cpu"
    return _uri(PYTORCH_ACCOUNTS, region, f"pytorch-training:{PYTORCH_VERSION}-{processor}-py312")


def pytorch_inference_image(region: str) -> str:
    """Image URI of AWS's PyTorch inference container for CPUs in a region; it runs any ``code/inference.py``.

    Raises:
        ConfigurationError: the region is not in the table.
    """
    accounts = {name: account for name, account in PYTORCH_ACCOUNTS.items() if not name.startswith(_TRAINING_ONLY)}
    return _uri(accounts, region, f"pytorch-inference:{PYTORCH_INFERENCE_VERSION}-cpu-py312")


def _uri(accounts: Mapping[str, str], region: str, image: str) -> str:
    if region not in accounts:
        raise ConfigurationError(
            f"no account that holds {image} is known for region {region!r}: pass the image's URI, "
            f"or choose one of {', '.join(accounts)}"
        )
    head, *rest = region.split("-")
    domain = _DOMAINS.get(f"{head}-{rest[0]}") or _DOMAINS.get(head) or "amazonaws.com"
    return f"{accounts[region]}.dkr.ecr.{region}.{domain}/{image}"
