"""Kinds of media: their types, file extensions, and how content shows which one it is.

Place in the path: uploads and fetched media are what their first bytes say, whatever their sender
claims; published media are what the model says. Nothing is decoded here.
"""

from dataclasses import dataclass

SNIFFED_BYTES = 512
"""How much of the beginning `sniff` looks at."""

MP4_BRANDS = frozenset(
    b"isom iso2 iso3 iso4 iso5 iso6 iso8 iso9 mp41 mp42 mmp4 avc1 av01 dash M4V M4VP MSNV".split()
)
OGG_AUDIO = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")


@dataclass(frozen=True, slots=True)
class Kind:
    """One media type. `inline` says that a browser may show it in place; `policy` is what it may do
    there (Content-Security-Policy), `served_as` its content type when that is another.
    """

    media_type: str
    extension: str
    inline: bool = True
    policy: str | None = None
    served_as: str | None = None


PNG = Kind("image/png", "png")
JPEG = Kind("image/jpeg", "jpg")
WEBP = Kind("image/webp", "webp")
GIF = Kind("image/gif", "gif")
MP4 = Kind("video/mp4", "mp4")
WEBM = Kind("video/webm", "webm")
WAV = Kind("audio/wav", "wav")
MP3 = Kind("audio/mpeg", "mp3")
FLAC = Kind("audio/flac", "flac")
OGG = Kind("audio/ogg", "ogg")
AAC = Kind("audio/aac", "aac")
SAVED_ONLY = "default-src 'none'; sandbox"
PAGE_POLICY = (
    "sandbox allow-scripts allow-forms allow-modals allow-downloads; default-src 'none';"
    " script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'"
)
"""Of a page: an origin of its own, so that its scripts reach nothing of ours, and no network. A
page narrows it further by what it says itself."""
PAGE = Kind(
    "application/vnd.carillon.page",
    "html",
    policy=PAGE_POLICY,
    served_as="text/html; charset=utf-8",
)
"""A page that was made here. Markup of any other origin stays a type that browsers only save."""

KINDS = {
    kind.media_type: kind
    for kind in (PNG, JPEG, WEBP, GIF, MP4, WEBM, WAV, MP3, FLAC, OGG, AAC, PAGE)
}
UPLOADABLE = "png, jpeg, webp, gif, mp4, webm, wav, mp3, flac or ogg"


def kind_of(media_type: str) -> Kind:
    """The kind called `media_type`; one that browsers only save, for every other type."""
    plain = media_type.partition(";")[0].strip().lower()
    return KINDS.get(plain) or Kind(media_type, "bin", inline=False, policy=SAVED_ONLY)


def sniff(data: bytes) -> Kind | None:
    """The kind that the first bytes show (WHATWG MIME Sniffing, section 6); None for another."""
    head = data[:SNIFFED_BYTES]
    for magic, kind in (
        (b"\x89PNG\r\n\x1a\n", PNG),
        (b"\xff\xd8\xff", JPEG),
        (b"GIF87a", GIF),
        (b"GIF89a", GIF),
        (b"fLaC", FLAC),
        (b"ID3", MP3),
    ):
        if head.startswith(magic):
            return kind
    return _container(head) or (MP3 if _is_mpeg_audio(head) else None)


def _container(head: bytes) -> Kind | None:
    """Formats that say after their first bytes what is inside."""
    if head[:4] == b"RIFF":
        return {b"WEBP": WEBP, b"WAVE": WAV}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return MP4 if head[8:12].strip() in MP4_BRANDS else None
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return WEBM if b"\x42\x82\x84webm" in head else None
    if head[:4] == b"OggS":
        return OGG if any(codec in head for codec in OGG_AUDIO) else None
    return None


def _is_mpeg_audio(head: bytes) -> bool:
    """Whether an MPEG audio frame of layer III starts here (ISO 11172-3, 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004
        return False
    version, layer = (head[1] >> 3) & 3, (head[1] >> 1) & 3
    bitrate, rate = head[2] >> 4, (head[2] >> 2) & 3
    return version != 1 and layer == 1 and 0 < bitrate < 15 and rate != 3  # noqa: PLR2004
