"""The facts of a configuration that nobody runs: everything is read once, and nothing is written.

The routes are those of this host at this moment, as a program that was started now would find them.
"""

import time
from functools import lru_cache, partial

import msgspec

from onehop.compile.compiler import Compiler
from onehop.control.abilities import lacks_of, name_of
from onehop.control.config import Config
from onehop.control.configfile import compile_options
from onehop.control.explain.facts import Facts
from onehop.control.explain.source import address_towards
from onehop.control.layer4 import would_be_in_kernel
from onehop.control.once import read_once
from onehop.control.reach import Reach
from onehop.control.served import Served
from onehop.model.model import Change
from onehop.net.fib import Fib


async def offline_facts(config: Config) -> Facts:
    """Return what a program with this configuration would know.

    Raises:
        ConfigError: see `open_source`.
        TransientError: the source, or the kernel's routes, cannot be read.
    """
    options = msgspec.structs.replace(compile_options(config), proves_reach=True)
    compiler = Compiler(options)
    compiler.set_lacks(lacks_of(name_of(config.data_plane)))
    async with Fib(stable_s=config.reach.stable_s, trust=options.trusted) as fib:
        settle = partial(Reach(compiler, fib).settled, compiler.settle)
        problems = await read_once(config, compiler, settle=settle)
    served = Served()
    served.take(Change(tuple(compiler.model().rows())))
    return Facts(
        config=config,
        compiler=compiler,
        served=served,
        is_live=False,
        problems=problems,
        now=time.time(),
        in_kernel=partial(would_be_in_kernel, config, served),
        address_towards=lru_cache(maxsize=None)(address_towards),
    )
