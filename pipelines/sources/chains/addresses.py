"""Addresses of sources: which may be used, where they point, and how they are shown.

Belongs here: rules over URLs that any source needs. Does not: requests (``transport.py``), a venue's paths.
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

# Query keys that describe what was asked. Every other key's value is withheld: it may be a key, a signature, a token.
SHOWN_QUERY_KEYS = frozenset(
    {"symbol", "interval", "period", "limit", "startTime", "endTime", "pair", "contractType"}  # Binance
    | {"category", "intervalTime", "start", "end"}  # Bybit
    | {"instType", "instId", "bar", "before", "after", "begin", "sz", "instFamily", "tdMode", "state"}  # OKX
    | {"contract", "from", "to"}  # Gate
    | {"contract_code", "size", "amount_type", "start_time", "end_time", "business_type", "type"}  # HTX
    | {"productType", "granularity", "precision", "pageSize", "pageNo"}  # Bitget
    | {"format"}  # alternative.me
    | {"id", "cosd", "series_id", "release_id", "observation_start", "observation_end"}  # FRED
    | {"realtime_start", "realtime_end", "output_type", "file_type", "offset", "sort_order"}  # FRED
    | {"include_release_dates_with_no_data"}  # FRED
    | {"field_tdr_date_value", "_format", "page"}  # US Treasury
    | {"assets", "metrics", "frequency", "page_size"}  # Coin Metrics
    | {"includePrices"}  # DefiLlama
)


def is_loopback(host: str | None) -> bool:
    """Return whether a host name or address is this machine's loopback; None (no host) is not."""
    if host is None or host == "localhost":
        return host == "localhost"
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_base_url(base_url: str | None, *, is_synthetic: bool, source: str) -> str | None:
    """Return a base URL that is fit for use; None stands for the venue's own.

    Parameters
    ----------
    base_url : str or None
        ``scheme://host[:port]``.
    is_synthetic : bool
        Whether what it serves will be called synthetic.
    source : str
        Name for the message.

    Raises
    ------
    ValueError
        Where it carries a user, path or query, a foreign host is not https, or `is_synthetic` and loopback disagree:
        synthetic records come from loopback, and real ones never do.
    """
    parts = urlsplit(base_url or "")
    if base_url is not None:
        extra = parts.username or parts.password or parts.query or parts.fragment or parts.path.strip("/")
        if parts.scheme not in ("http", "https") or not parts.hostname or extra:
            raise ValueError(f"{source} base URL must be scheme://host[:port] without user, path or query")
        if not is_loopback(parts.hostname) and parts.scheme != "https":
            raise ValueError(f"{source} base URL must be https for a host that is not loopback: {parts.hostname}")
    if is_synthetic != is_loopback(parts.hostname):
        raise ValueError(
            f"{source} at {parts.hostname or 'the venue'} with is_synthetic={is_synthetic}: "
            "synthetic records come from loopback and real ones never do"
        )
    return base_url


def rehosted(url: str, base_url: str | None) -> str:
    """Return a URL with scheme and host of `base_url` and its own path and query; unchanged where `base_url` is None."""
    if base_url is None:
        return url
    base, own = urlsplit(base_url), urlsplit(url)
    return urlunsplit((base.scheme, base.netloc, own.path, own.query, ""))


def redacted(request: str) -> str:
    """Return a request without secrets: no user, password or fragment, and only the query values that are known to be safe.

    Ports are left out: the sandbox takes a free one, and a message must not differ from run to run.

    Parameters
    ----------
    request : str
        A URL, with or without a method before it.
    """
    method, _, url = request.rpartition(" ")
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    query = urlencode(
        [(k, v if k in SHOWN_QUERY_KEYS else "withheld") for k, v in parse_qsl(parts.query, keep_blank_values=True)]
    )
    shown = f"{parts.scheme}://{host}{parts.path}" if parts.scheme else f"{parts.path}"
    return f"{method} {shown}{'?' if query else ''}{query}".strip()


def rehosted_all(urls: Any, base_url: str) -> Any:
    """Return ccxt's addresses, which may be nested, on another host."""
    if isinstance(urls, dict):
        return {k: rehosted_all(v, base_url) for k, v in urls.items()}
    return rehosted(urls, base_url)
