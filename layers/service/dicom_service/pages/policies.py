"""What the pages may do in a browser: their Content-Security-Policy and the headers beside it (docs/pages.md)."""

from urllib.parse import urlsplit

# Nothing from elsewhere, no inline script, no eval; pictures and reports come as blobs.
_COMMON = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_SHARE = (
    f"{_COMMON}; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{{logo}}; frame-src blob:; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# OHIF decodes in workers with WebAssembly, writes style elements, and names fonts and pictures as data.
_VIEWER = (
    f"{_COMMON}; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; manifest-src 'self'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
}


def policy_of(name: str, logo_url: str | None) -> str:
    """Return a Content-Security-Policy.

    Parameters
    ----------
    name
        ``share`` or ``viewer``.
    logo_url
        The operator's logo; its origin is the one place beside our own that pictures may come from.
    """
    if name == "viewer":
        return _VIEWER
    parts = urlsplit(logo_url or "")
    return _SHARE.format(logo=f" {parts.scheme}://{parts.netloc}" if parts.scheme == "https" else "")
