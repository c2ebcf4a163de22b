"""Pictures in a PDF that matplotlib wrote: equal ones stored once, photographs as JPEG in their own pixels.

A face of 128 × 128 px takes 24 KB without loss and 8 KB as JPEG, 43 dB from it (38 at worst): ten times
nearer than what this study compares. Drawings (at most 256 colours) stay as they are.
"""

import io
import re
import struct
import zlib

from PIL import Image

QUALITY = 95  # of 100; colours at full resolution
PHOTOGRAPH = re.compile(rb"/ColorSpace /DeviceRGB")  # matplotlib gives what has few colours a palette
LENGTH = re.compile(rb"/Length \d+ 0 R")
REFERENCE = re.compile(rb"\b(\d+)(?= 0 R\b)")


def compact(pdf: bytes) -> bytes:
    """`pdf` with each picture once, and photographs as JPEG."""
    objects, trailer = _parse(pdf)
    first, same = {}, {}  # content -> number, number of a copy -> number of the first
    for number, content in objects.items():
        if b"/Subtype /Image" in content.partition(b"stream")[0]:
            original = first.setdefault(LENGTH.sub(b"", content), number)
            if original != number:
                same[number] = original
            elif PHOTOGRAPH.search(content.partition(b"stream")[0]):
                objects[number] = _as_jpeg(content)
    for number, content in objects.items():
        if number in same:
            objects[number] = b"null"
        elif b"\nstream\n" not in content:
            objects[number] = REFERENCE.sub(
                lambda found: str(same.get(int(found[1]), int(found[1]))).encode(), content
            )
    return _written(pdf.partition(b"1 0 obj")[0], objects, trailer)


def _parse(pdf: bytes) -> tuple[dict[int, bytes], bytes]:
    """Objects by number, as the table at the end of the file places them, and the trailer's dictionary."""
    table = int(pdf.rpartition(b"startxref\n")[2].split()[0])
    lines, trailer = pdf[table:].split(b"trailer\n", 1)
    entries = [line.split() for line in lines.splitlines()[2:]]
    starts = {number: int(at) for number, (at, _, kind) in enumerate(entries) if kind == b"n"}
    ends = dict(zip(sorted(starts.values()), [*sorted(starts.values())[1:], table], strict=True))
    objects = {}
    for number, start in starts.items():
        content = pdf[start : ends[start]].removeprefix(b"%d 0 obj\n" % number)
        objects[number] = content.rpartition(b"\nendobj")[0]
    return objects, trailer.partition(b"startxref")[0]


def _as_jpeg(content: bytes) -> bytes:
    """A picture's object, deflated as in a PNG, with its pixels as JPEG."""
    head, _, rest = content.partition(b"\nstream\n")
    width, height = (int(re.search(rb"/%s (\d+)" % side, head)[1]) for side in (b"Width", b"Height"))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", rest.rpartition(b"\nendstream")[0]), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    held = io.BytesIO()
    Image.open(io.BytesIO(png)).save(held, "jpeg", quality=QUALITY, subsampling=0, optimize=True)
    jpeg = held.getvalue()
    facts = b"/Type /XObject /Subtype /Image /Width %d /Height %d" % (width, height)
    coding = b"/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode /Length %d" % len(jpeg)
    return b"<< " + facts + b" " + coding + b" >>\nstream\n" + jpeg + b"\nendstream"


def _written(start: bytes, objects: dict[int, bytes], trailer: bytes) -> bytes:
    """A PDF of `objects`, with the table that places them."""
    parts, at, places = [start], len(start), {}
    for number, content in objects.items():
        parts.append(b"%d 0 obj\n" % number + content + b"\nendobj\n")
        places[number] = at
        at += len(parts[-1])
    table = [b"xref\n0 %d\n0000000000 65535 f \n" % (max(objects) + 1)]
    table += [
        b"%010d 00000 n \n" % places[number] if number in places else b"0000000000 00001 f \n"
        for number in range(1, max(objects) + 1)
    ]
    return b"".join([*parts, *table, b"trailer\n", trailer, b"startxref\n%d\n%%%%EOF\n" % at])
