"""Output that nothing depends on: its reader may go away, or its disk be full."""

from typing import NamedTuple, TextIO


class LastingStream(NamedTuple):
    """A text stream that falls silent, instead of raising, once it cannot be written any more.

    Attributes:
        stream: where the text goes; None where the process was started without one.
        lost: why it fell silent; empty until then.

    Example:
        >>> import io
        >>> closed = io.StringIO()
        >>> closed.close()
        >>> stream = LastingStream(closed, [])
        >>> stream.write("hello"), stream.lost
        (5, ['I/O operation on closed file'])
    """

    stream: TextIO | None
    lost: list[str]

    def write(self, text: str) -> int:
        """Writes the text, if that still goes."""
        if self.stream is not None and not self.lost:
            try:
                self.stream.write(text)
            except (OSError, ValueError) as reason:
                self.lost.append(str(reason))
        return len(text)

    def flush(self) -> None:
        """Flushes, if the stream can still be written."""
        if self.stream is not None and not self.lost:
            try:
                self.stream.flush()
            except (OSError, ValueError) as reason:
                self.lost.append(str(reason))

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.stream is not None and not self.lost and self.stream.isatty()

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return getattr(self.stream, "encoding", None) or "utf-8"
