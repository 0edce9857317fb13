"""Pulse/Ivanti Virtual Traffic Manager over its REST API (6.0 to 8.3).

Enters: rows of a Model. Leaves: objects of the unit, each with our owner mark; nothing without it
is ever written. `render` is pure; `unit` compares and writes; `driver` joins both.
"""

from onehop.driver.vtm.driver import VtmDriver
from onehop.driver.vtm.options import VtmOptions
from onehop.driver.vtm.raising import Unsure
from onehop.driver.vtm.render import render_model

__all__ = ["Unsure", "VtmDriver", "VtmOptions", "render_model"]
