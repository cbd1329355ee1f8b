"""Hyperparameters: AWS's table, its rules, and how they travel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scones_ml.errors import ConfigurationError
from scones_ml.sagemaker.hyperparameters import ImageClassification, ScriptMode
from scones_ml.training.__main__ import _parser
from scones_ml.training.presets import PRESETS

REQUIRED = {"num_classes": 2, "num_training_samples": 800}
SOURCE = "s3://bucket/source/abc.tar.gz"

# As the algorithm's documentation lists them.
DEFAULTS = {
    "num_layers": 152,
    "image_shape": (3, 224, 224),
    "resize": None,
    "epochs": 30,
    "mini_batch_size": 32,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0001,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "eps": 1e-8,
    "gamma": 0.9,
    "lr_scheduler_factor": 0.1,
    "lr_scheduler_step": None,
    "augmentation_type": None,
    "use_pretrained_model": 0,
    "multi_label": 0,
    "use_weighted_loss": 0,
    "early_stopping": False,
    "early_stopping_min_epochs": 10,
    "early_stopping_patience": 5,
    "early_stopping_tolerance": 0.0,
    "checkpoint_frequency": None,
    "precision_dtype": "float32",
    "top_k": None,
    "kv_store": None,
}
SHARES = [
    "learning_rate",
    "momentum",
    "weight_decay",
    "beta_1",
    "beta_2",
    "eps",
    "gamma",
    "lr_scheduler_factor",
    "early_stopping_tolerance",
]


def parse(**values: object) -> ImageClassification:
    return ImageClassification.parse(REQUIRED | values)


def test_every_hyperparameter_with_its_default() -> None:
    """The model has exactly the algorithm's hyperparameters, with its defaults."""
    assert parse().model_dump() == REQUIRED | DEFAULTS


def test_only_what_was_set_is_sent() -> None:
    """Defaults are left to the algorithm; values travel as text in its own forms."""
    assert parse(
        image_shape=(3, 32, 32), early_stopping=True, lr_scheduler_step="10, 20", use_pretrained_model="0"
    ).to_request() == {
        "num_classes": "2",
        "num_training_samples": "800",
        "image_shape": "3,32,32",
        "early_stopping": "True",
        "lr_scheduler_step": "10,20",
        "use_pretrained_model": "0",
    }


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "num_layers": st.sampled_from([18, 20, 32, 34, 44, 50, 56, 101, 110, 152, 200]),
            "image_shape": st.tuples(st.just(3), st.integers(28, 256), st.integers(28, 256)),
            "resize": st.integers(257, 512),
            "epochs": st.integers(30, 100),
            "optimizer": st.sampled_from(["sgd", "adam", "rmsprop", "nag"]),
            "lr_scheduler_step": st.sets(st.integers(1, 90), min_size=1).map(lambda steps: tuple(sorted(steps))),
            "early_stopping": st.booleans(),
            "multi_label": st.sampled_from([0, 1]),
            "checkpoint_frequency": st.integers(1, 30),
            "top_k": st.integers(2, 9),
            **{name: st.floats(0, 1) for name in SHARES},
        },
    )
)
def test_what_is_sent_reads_back(values: dict[str, object]) -> None:
    """A request's text, read again, gives the same hyperparameters."""
    given_ = parse(**values)
    assert ImageClassification.parse(given_.to_request()) == given_


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("value", [-0.001, 1.001, float("nan"), "much"])
def test_shares_are_within_0_and_1(name: str, value: object) -> None:
    """Each rate is refused outside of [0, 1], by name and value."""
    with pytest.raises(ConfigurationError, match=f"^hyperparameter {name}={value!r}: [^\n]+$"):
        parse(**{name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_layers": 17}, "num_layers=17"),
        ({"epochs": 0}, "epochs=0"),
        ({"mini_batch_size": 0}, "mini_batch_size=0"),
        ({"num_classes": 1}, "num_classes=1"),
        ({"optimizer": "adagrad"}, "optimizer='adagrad'"),
        ({"top_k": 1}, "top_k=1"),
        ({"image_shape": "3,32"}, "image_shape"),
        ({"augmentation_type": "flip"}, "augmentation_type='flip'"),
        ({"kv_store": "local"}, "kv_store='local'"),
        ({"use_pretrained_model": 2}, "use_pretrained_model=2"),
        ({"learning_rates": 0.1}, "learning_rates=0.1: Extra"),
        ({"use_pretrained_model": 1, "num_layers": 20}, "num_layers=20: there is no pretrained model"),
        ({"use_pretrained_model": 1, "image_shape": "3,32,32"}, "image_shape=3,32,32: pretrained"),
        ({"image_shape": "3,32,32", "resize": 32}, "resize=32: must be larger than both sides"),
        ({"use_weighted_loss": 1}, "use_weighted_loss=1: works with multi_label=1"),
        ({"checkpoint_frequency": 31}, "checkpoint_frequency=31: more than the 30 epochs"),
        ({"lr_scheduler_step": "20,10"}, "lr_scheduler_step=20,10: epochs must increase"),
    ],
)
def test_what_aws_would_refuse(values: dict[str, object], message: str) -> None:
    """A wrong value, an unknown name or a contradiction is one line that names the hyperparameter."""
    with pytest.raises(ConfigurationError) as caught:
        parse(**values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_one_is_named() -> None:
    """num_classes and num_training_samples have no default."""
    with pytest.raises(ConfigurationError, match=r"^hyperparameter num_training_samples: Field required$"):
        ImageClassification.parse({"num_classes": 2})


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"momentum": 0.5, "optimizer": "adam"}, "momentum has no effect with optimizer=adam"),
        ({"beta_1": 0.5}, "beta_1 has no effect with optimizer=sgd"),
        ({"gamma": 0.5, "optimizer": "rmsprop"}, None),
        ({"early_stopping_patience": 3}, "early_stopping_patience: no effect without early_stopping=True"),
        ({"lr_scheduler_factor": 0.5}, "lr_scheduler_factor has no effect without lr_scheduler_step"),
        ({"lr_scheduler_step": "10,30"}, "lr_scheduler_step=10,30 goes past the 30 epochs"),
        ({"image_shape": "3,32,32"}, "num_layers=152 is meant for images larger than 3,32,32"),
        ({"image_shape": "3,32,32", "num_layers": 20}, None),
        ({"mini_batch_size": 801}, "mini_batch_size=801 is more than num_training_samples"),
        ({"top_k": 2}, "top_k=2 of 2 classes is always right"),
    ],
)
def test_what_has_no_effect_is_said(values: dict[str, object], warning: str | None) -> None:
    """What AWS takes but does not use is a warning, not an error."""
    assert parse(**values).warnings() == ((warning,) if warning else ())


def test_script_mode_speaks_the_program_s_options() -> None:
    """Every hyperparameter of script mode is an option of the training program, which reads the same value."""
    told = {"recipe": "head", "fit": "pad", "backbone": "backbone/mine.onnx", "cache": "backbone", "preset": "best"}
    told |= {"epochs": 3, "seed": 7, "threads": 2, "target_precision": 0.9}
    sent = ScriptMode.parse({"source": SOURCE} | told).to_request()
    assert json.loads(sent.pop("sagemaker_program")) == "train.py"
    assert json.loads(sent.pop("sagemaker_submit_directory")) == SOURCE
    arguments = [part for name, value in sent.items() for part in (f"--{name}", str(json.loads(value)))]
    options = vars(_parser().parse_args(arguments))
    assert options.pop("while_stdin_open") is False  # on this machine alone
    assert {name: str(value) if isinstance(value, Path) else value for name, value in options.items()} == {
        **told,
        "device": "auto",
    }


def test_script_mode_knows_the_presets() -> None:
    """The presets of the model are those that training has."""
    assert set(ScriptMode.model_json_schema()["properties"]["preset"]["enum"]) == set(PRESETS)


@pytest.mark.parametrize("values", [{"source": "code.tar.gz"}, {"target_precision": 1.0}, {"epochs": 0}])
def test_script_mode_refuses(values: dict[str, object]) -> None:
    """A source that is no archive in S3 and numbers out of range are refused."""
    with pytest.raises(ConfigurationError, match=next(iter(values))):
        ScriptMode.parse({"source": SOURCE} | values)
