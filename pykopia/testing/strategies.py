"""Hypothesis strategies for what a storage holds. They need hypothesis, which this package does not install."""

from hypothesis import strategies as st

from pykopia.ids import BlobID

_HEX = "0123456789abcdef"
_LEGAL = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "/")
_FIXED_IDS = ("kopia.repository", "kopia.blobcfg", "kopia.maintenance", "kopia.indexpoison")


def blob_ids(*, max_size: int = 100) -> st.SearchStrategy[BlobID]:
    """Return a strategy of every legal blob ID, however odd, up to so many characters (format 03 §1)."""
    return st.text(_LEGAL, min_size=1, max_size=max_size).map(BlobID)


def kopia_blob_ids() -> st.SearchStrategy[BlobID]:
    """Return a strategy of blob IDs as Kopia makes them: packs, indexes, epochs, sessions and the fixed ones."""
    digest = st.text(_HEX, min_size=32, max_size=32)
    session = st.text(_HEX, min_size=17, max_size=17)
    epoch = st.integers(0, 200)
    return st.one_of(
        st.sampled_from(_FIXED_IDS),
        st.builds("{}{}-s{}".format, st.sampled_from("pqs"), digest, session),
        st.builds("{}{}".format, st.sampled_from("nml"), digest),
        st.builds("xn{}_{}-s{}-c1".format, epoch, digest, session),
        st.builds("xs{}_{}-s{}-c1".format, epoch, digest, session),
        st.builds("xr{}_{}_{}-s{}-c1".format, epoch, epoch, digest, session),
        st.builds("xe{}".format, epoch),
        st.builds("xw{}".format, st.integers(0, 4_000_000_000)),
    ).map(BlobID)


def content_bytes(*, max_size: int = 4096) -> st.SearchStrategy[bytes]:
    """Return a strategy of blob contents: noise, repeated patterns, and nothing, up to so many bytes."""
    repeated = st.builds(
        lambda pattern, times: (pattern * times)[:max_size],
        st.binary(min_size=1, max_size=16),
        st.integers(0, max_size),
    )
    return st.one_of(st.binary(max_size=max_size), repeated)


__all__ = ["blob_ids", "content_bytes", "kopia_blob_ids"]
