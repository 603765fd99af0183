"""The error tree: stable codes, picklable, documented."""

import pickle

import pytest

from core import errors
from core.errors import CarillonError


def every_error() -> list[type[CarillonError]]:
    found = [CarillonError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == "core.errors"]


@pytest.mark.parametrize("kind", every_error())
def test_an_error_survives_pickling_with_all_it_carries(kind):
    error = pickle.loads(pickle.dumps(kind("what happened", "field", 1.5)))
    assert type(error) is kind
    assert (str(error), error.param, error.retry_after_s) == ("what happened", "field", 1.5)


@pytest.mark.parametrize("kind", every_error())
def test_the_module_docstring_names_every_error_with_its_status_and_code(kind):
    line = next(line for line in (errors.__doc__ or "").splitlines() if f"{kind.__name__} " in line)
    assert line.split()[-2:] == [str(kind.status_code), kind.code]


def test_codes_are_unique():
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))
