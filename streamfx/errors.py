"""What goes wrong, said to a user in one sentence that names the fix."""

from streamfx.engines.errors import EngineError

__all__ = ["EngineError", "InputError", "StreamFXError"]


class StreamFXError(Exception):
    """The job failed (exit code 1); the message is for the user."""

    exit_code = 1


class InputError(StreamFXError):
    """What the user gave cannot be used (exit code 2): a file, a style, an option."""

    exit_code = 2
