"""The base class of fakes in place of boto3's clients."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    FakeClient = Any  # a fake has only the methods that its tests call
else:
    FakeClient = object  # in Python 3.11, subclasses of Any have no constructor arguments
