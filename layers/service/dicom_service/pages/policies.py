"""What the pages may do in a browser: their Content-Security-Policy and the headers beside it (docs/pages.md)."""

from urllib.parse import urlsplit

from dicom_service.pages.settings import PageSettings

# Nothing from elsewhere, no inline script, no eval; pictures and reports come as blobs.
_COMMON = "default-src 'none'; connect-src 'self'{more}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_OWN = f"{_COMMON}; script-src 'self'; style-src 'self'; img-src 'self' data: blob:{{logo}}; "
_SHARE = f"{_OWN}frame-src blob:; require-trusted-types-for 'script'; trusted-types 'none'"
# The desk reads files in workers of its own (web/upload), whose module its one policy of Trusted Types lets through.
_DESK = f"{_OWN}worker-src 'self'; require-trusted-types-for 'script'; trusted-types dicom-upload"
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


def policy_of(name: str, settings: PageSettings) -> str:
    """Return a Content-Security-Policy.

    Parameters
    ----------
    name
        ``share``, ``desk`` or ``viewer``.
    settings
        The operator's logo, whose origin is the one place beside our own that pictures may come from, and where the
        desk connects to.
    """
    parts = urlsplit(settings.service_logo_url or "")
    logo = f" {parts.scheme}://{parts.netloc}" if parts.scheme == "https" else ""
    more = "".join(f" {origin}" for origin in settings.desk_origins) if name == "desk" else ""
    return {"share": _SHARE, "desk": _DESK, "viewer": _VIEWER}[name].format(logo=logo, more=more)
