"""How HAProxy asks its servers whether they work; it asks only where the Model says so."""

from collections.abc import Iterator

from onehop.driver.haproxy import word
from onehop.model.pool import HealthCheck, Pool


def health_lines(check: HealthCheck) -> Iterator[str]:
    """Yield the lines of a backend section."""
    yield f"timeout check {word.ms(check.timeout_s)}ms"
    if check.http_path is None:
        return
    host = word.host(check.http_host.lower()) if check.http_host else "localhost"
    path = word.quoted(word.path(check.http_path))
    codes = ",".join(f"{int(first)}-{int(last)}" for first, last in check.expected)
    yield "option httpchk"
    yield f"http-check send meth GET uri {path} ver HTTP/1.1 hdr Host {host}"
    yield f"http-check expect status {codes}"


def check_options(pool: Pool, check: HealthCheck) -> Iterator[str]:
    """Yield the options of a server that is asked; a port of its own is asked in the clear."""
    yield f"check inter {word.ms(check.interval_s)}ms"
    yield f"rise {int(check.healthy_threshold)} fall {int(check.unhealthy_threshold)}"
    if check.port is not None:
        yield f"port {int(check.port)}"
        yield "no-check-ssl" if pool.tls is not None else ""
    elif pool.proxy_protocol is not None:
        yield "check-send-proxy"
