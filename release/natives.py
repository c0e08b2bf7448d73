"""The native libraries inside the wheels, which no package's metadata names, and their licences.

A library that is not in the table was looked at by nobody, so it stops the release.
"""

import re
from pathlib import Path

LICENCES = {
    # Pillow
    "Xau": "MIT",
    "avif": "BSD-2-Clause",
    "brotlicommon": "MIT",
    "brotlidec": "MIT",
    "freetype": "FTL",
    "harfbuzz": "MIT",
    "jpeg": "IJG AND BSD-3-Clause AND Zlib",
    "lcms2": "MIT",
    "lzma": "0BSD",
    "openjp2": "BSD-2-Clause",
    "png16": "libpng-2.0",
    "sharpyuv": "BSD-3-Clause",
    "tiff": "libtiff",
    "webp": "BSD-3-Clause",
    "webpdemux": "BSD-3-Clause",
    "webpmux": "BSD-3-Clause",
    "xcb": "MIT",
    "zstd": "BSD-3-Clause",
    # NumPy: OpenBLAS, with what GCC's Fortran needs at run time
    "gfortran": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "quadmath": "LGPL-2.1-or-later",
    "scipy_openblas64_": "BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1",
    # GDCM; OpenSSL is linked by its common library and never called
    "crypto": "OpenSSL",
    "gdcmCommon": "BSD-3-Clause",
    "gdcmDICT": "BSD-3-Clause",
    "gdcmDSED": "BSD-3-Clause",
    "gdcmIOD": "BSD-3-Clause",
    "gdcmMSFF": "BSD-3-Clause",
    "gdcmcharls": "BSD-3-Clause",
    "gdcmexpat": "MIT",
    "gdcmjpeg12": "IJG",
    "gdcmjpeg16": "IJG",
    "gdcmjpeg8": "IJG",
    "gdcmopenjp2": "BSD-2-Clause",
    "gdcmuuid": "BSD-3-Clause",
    "gdcmzlib": "Zlib",
    "ssl": "OpenSSL",
}
# Left out of the layer (its Makefile): socket++ is GPL-2.0-or-later, and GDCM's network library links it.
LEFT_OUT = frozenset({"gdcmMEXD", "socketxx"})
_LIBRARY = re.compile(r"lib([A-Za-z0-9_]+?)(?:-[0-9a-f]{8})?\.so(?:\.[\d.a-z]+)?")


def native_libraries(folder: Path) -> set[tuple[str, str]]:
    """Return package and name of each shared library that wheels put beside their modules.

    Parameters
    ----------
    folder
        What `pip install --target` filled, such as a layer's `python`.
    """
    found = set()
    for path in folder.rglob("lib*.so*"):
        if match := _LIBRARY.fullmatch(path.name):
            package = path.relative_to(folder).parts[0].removesuffix(".libs").replace("_", "-").removeprefix("-")
            found.add(("python-gdcm" if package == "gdcm" else package, match.group(1)))
    return found
