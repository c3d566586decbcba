"""What goes wrong in an engine, said in one sentence that names the fix."""


class EngineError(Exception):
    """An engine cannot be had or cannot run; the message says what to do."""
