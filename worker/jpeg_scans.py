"""A progressive JPEG -> the same file without the scans that decoding it at 1/8 has no use for.

At 1/8 each 8 x 8 block becomes one pixel, its average (the DC coefficient, ITU T.81 section G.1.1), and whatever
else was read of it is thrown away; only of colours that are stored at half the resolution libjpeg takes more. It
wants the first other scan all the same: without one it takes the file for half loaded, and blurs it. To read all
scans of 12 megapixels costs a hundred milliseconds, without these half of that, and the pixels are the same.
"""

from __future__ import annotations

import re

_END, _SCAN, _PROGRESSIVE_FRAME = 0xD9, 0xDA, 0xC2

# In a scan's data a 0xFF is followed by a zero or is a restart marker (ITU T.81 section B.1.1.5).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def without_details(data: bytes) -> bytes | None:
    """The file without the second and later AC scans of each component in full resolution.

    None where it does not end as a JPEG must: whoever decodes it shall say so.
    """
    kept, at, full = [data[:2]], 2, b""
    begun: set[int] = set()
    while marker := _MARKER.match(data, at):
        code = data[at + 1]
        if code == _END:
            return b"".join([*kept, b"\xff\xd9"])
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segment = data[at + 4 : end]
        wanted = True
        if code == _PROGRESSIVE_FRAME:
            full = _full_components(segment)
        elif code == _SCAN:
            if _is_details(segment, full):
                wanted = segment[1] not in begun
                begun.add(segment[1])
            marker = _MARKER.search(data, end)
            if marker is None:
                return None
            end = marker.start()
        if wanted:
            kept.append(data[at:end])
        at = end
    return None


def _full_components(frame: bytes) -> bytes:
    """The identifiers of the components that have as many samples as any other (ITU T.81 section B.2.2)."""
    components = {frame[at]: frame[at + 1] for at in range(6, len(frame) - 1, 3)}
    most = max(components.values(), default=0)
    return bytes(name for name, sampling in components.items() if sampling == most)


def _is_details(scan: bytes, full: bytes) -> bool:
    """Whether a scan is of one component, a full one, and holds no averages (ITU T.81 section B.2.3)."""
    return len(scan) == 6 and scan[0] == 1 and scan[1] in full and scan[3] > 0
