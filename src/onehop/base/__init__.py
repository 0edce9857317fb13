"""What every layer stands on: the exception tree, the one-slot hand-over, child processes, netlink.

Enters: nothing. Leaves: `child`, `errors`, `latest`, `nlmsg`, `trust`. Standard library only;
everybody may import it.
"""
