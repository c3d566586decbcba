"""Work that may take long, beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread


async def beside(work: Callable[[], object]) -> None:
    """Run something on a thread of its own, and wait for it.

    `asyncio.to_thread` shares a few threads among all requests: what waits for the network for
    seconds must not use those up.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            work()
        except BaseException as failure:  # it is raised where it is waited for
            error = failure
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, error)

    Thread(target=run, name="beside", daemon=True).start()
    await done
