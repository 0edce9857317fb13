"""What Envoy cannot do, or not in full, of what a Model can ask for."""

from typing import Final

from onehop.driver.capability import UDP_UNKNOWN, Capability, Shortcomings, no, partly

SHORTCOMINGS: Final[Shortcomings] = {
    Capability.SOURCE_PERSISTENCE: partly(
        "Envoy hashes the client's address: a new endpoint moves some clients"
    ),
    Capability.SOURCE_PERSISTENCE_TIMEOUT: no(
        "Envoy hashes the client's address and remembers nobody, so there is nothing to forget:"
        " clients stay for as long as the endpoints do"
    ),
    Capability.RETRY_PAUSE: partly(
        "each is drawn between nothing and what is asked for, which doubles from one to the next"
    ),
    Capability.HEALTH_CHECK_UDP: no(UDP_UNKNOWN),
    Capability.POOL_CONNECTION_LIMIT: partly(
        "what comes beyond it waits for a connection, and is not answered 503"
    ),
    Capability.HTTP3: partly(
        "not for hosts with passthrough, nor for those that ask clients for certificates"
    ),
}
