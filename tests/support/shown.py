"""All that people could have seen in a run, to be searched for secrets that the test knows."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from registry.runtime.logs.formatters import JsonFormatter

AT_DEBUG = "import logging; logging.basicConfig(level=10); from p2pclient.__main__ import main; main()"
"""`p2p` with all that it logs on standard error: the first configuration of the log counts."""


class Shown:
    """All that people could have seen, and where."""

    def __init__(self, marks: Iterable[str] = ()) -> None:
        """`marks` are parts of the secrets; more may be added to it."""
        self.texts: list[tuple[str, str]] = []
        self.marks = list(marks)

    def add(self, where: str, text: str) -> None:
        self.texts.append((where, text))

    def records(self, records: Iterable[logging.LogRecord]) -> None:
        """Lines of the log as JSON, with the fields that text leaves out."""
        self.add("the log as JSON", "\n".join(map(JsonFormatter().format, records)))

    def error(self, where: str, error: BaseException) -> None:
        """Its traceback, and the reprs of it and of its causes."""
        self.add(where, "".join(traceback.format_exception(error)))
        link: BaseException | None = error
        while link is not None:
            self.add(where, f"{link!r} {link.args!r}")
            link = link.__cause__ or link.__context__

    async def command(self, *arguments: str, environ: Mapping[str, str]) -> int:
        """Run `p2p ARGUMENTS` at DEBUG level; what it writes, and what `ps` shows of it."""
        names = ("PATH", "HOME")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", AT_DEBUG, *arguments),
            env={name: os.environ[name] for name in names if name in os.environ}
            | {"P2P_LOG_LEVEL": "debug"}
            | dict(environ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        self.add(f"p2p {arguments}", said.decode())
        assert process.returncode is not None
        return process.returncode

    def leaks(self) -> list[str]:
        """Where the secrets were shown."""
        found = ((where, text, text.find(mark)) for where, text in self.texts for mark in self.marks)
        return [f"{where}: {text[max(0, at - 200) : at + 80]}" for where, text, at in found if at >= 0]


@asynccontextmanager
async def garbage() -> AsyncIterator[int]:
    """A server that answers with what is no HTTP; its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"this is no HTTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
