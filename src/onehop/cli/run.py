"""`onehop run`: the program, its two HTTP servers, and the signals that end it."""

import asyncio
import signal
from collections.abc import Callable

import structlog

import onehop
from onehop.control.config import Config
from onehop.control.configfile import control_socket, parse_listen
from onehop.control.program import Program, open_program
from onehop.telemetry.log import configure_logging
from onehop.web.app import make_control_app, make_public_app
from onehop.web.server import serve_tcp, serve_unix

log = structlog.get_logger(__name__)


async def serve(config: Config, reread: Callable[[], Config]) -> bool:
    """Serve until SIGTERM or SIGINT; SIGHUP has `dataPlane` read again.

    Raises:
        ConfigError: the configuration cannot work on this machine.
        DriverUnavailable: the data plane does not come up.
    """
    configure_logging(level=config.log.level, as_json=config.log.json)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    host, port = parse_listen(config.listen.metrics, name="config")
    async with (
        open_program(config, reread) as program,
        serve_unix(make_control_app(program), control_socket(config)),
        serve_tcp(make_public_app(program), host, port),
        asyncio.TaskGroup() as tasks,
    ):
        loop.add_signal_handler(signal.SIGHUP, program.reload)
        log.info("starting", version=onehop.__version__, metrics=config.listen.metrics)
        running = tasks.create_task(program.run())
        announcing = tasks.create_task(_announce(program))
        await ended.wait()
        log.info("stopping")
        await program.leave()
        announcing.cancel()
        running.cancel()
    return True


async def _announce(program: Program) -> None:
    await program.wait_ready()
    snapshot = program.snapshot()
    log.info("ready", source=snapshot.source, driver=snapshot.driver, served=snapshot.served)
