"""What `pytest --pyargs hondo_spec` collects: this file stands for all properties."""

from hondo_spec.runner import Record


class UnexpectedError(AssertionError):
    """A record whose status should worry.

    Attributes:
        record: what came of the property.
    """

    def __init__(self, record: Record):
        super().__init__(record.message)
        self.record = record
