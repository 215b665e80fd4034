# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Native twin of ``batch``: hash, pack, seal and open many contents in one call without the interpreter's lock.

Nothing is linked. OpenSSL's libcrypto is the one that ``hashlib`` has loaded, or that the system has; libzstd is the one
inside of the package ``zstandard`` (its cffi module exports it), so that both twins make the same bytes, or that of the
system. Where either is missing ``LOADED`` is false.
"""

import os

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

cdef extern from "dlfcn.h" nogil:
    void *dlopen(const char *path, int flags)
    void *dlsym(void *library, const char *name)
    int RTLD_NOW
    int RTLD_LOCAL

cdef extern from "Python.h":
    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t length)
    char *PyBytes_AsString(object data) except NULL

cdef extern from "blake2_lanes.h" nogil:
    ctypedef struct blake2b_state:
        pass
    ctypedef struct hashed_content:
        const uint8_t *data
        size_t length
        uint8_t *out
    ctypedef struct blake2b_path:
        int width
    ctypedef struct blake2s_state:
        pass
    void blake2b_start(blake2b_state *state, const uint8_t *key, int key_length, int digest_length)
    blake2b_path blake2b_path_of(int most)
    void blake2b_many(const blake2b_state *start, blake2b_path path, hashed_content *contents, size_t count)
    void blake2s_start(blake2s_state *state, const uint8_t *key, int key_length, int digest_length)
    void blake2s_digest(const blake2s_state *start, const uint8_t *data, size_t length, uint8_t *out)

cdef enum:
    NONCE = 12
    TAG = 16
    OVERHEAD = 28  # NONCE and TAG
    IV = 16
    KEY = 32
    HEADER = 4  # compression header ID before a packed body
    LARGEST_DIGEST = 64
    LARGEST_HASH_BLOCK = 200
    LARGEST_TRUSTED = 1 << 26
    MOST_BYTES = 1 << 30

    # of openssl/evp.h
    EVP_CTRL_AEAD_GET_TAG = 0x10
    EVP_CTRL_AEAD_SET_TAG = 0x11

    # of zstd.h
    ZSTD_c_compressionLevel = 100
    ZSTD_c_hashLog = 102
    ZSTD_c_chainLog = 103
    ZSTD_c_minMatch = 105
    ZSTD_c_strategy = 107
    ZSTD_c_checksumFlag = 201

    # what a hash is made with
    BLAKE2B = 1
    BLAKE2S = 2
    HMAC = 3

include "_libraries.pxi"

# --- one thread's tools

cdef struct Wanted:
    int level  # of zstd
    int hash_log  # 0: the level's own, here and below
    int chain_log
    int min_match
    int strategy


cdef class Worker:
    """Contexts of the libraries and a buffer, for one thread at a time."""

    cdef void *encryptor
    cdef void *decryptor
    cdef void *inner
    cdef void *outer
    cdef void *compressor
    cdef void *expander
    cdef Wanted wanted  # what the compressor is set to
    cdef uint8_t *arena
    cdef size_t room

    def __cinit__(self):
        self.encryptor = lib.cipher_new()
        self.decryptor = lib.cipher_new()
        self.inner = lib.digest_new()
        self.outer = lib.digest_new()
        self.compressor = lib.compressor_new()
        self.expander = lib.expander_new()
        if (
            self.encryptor == NULL or self.decryptor == NULL or self.inner == NULL or self.outer == NULL
            or self.compressor == NULL or self.expander == NULL
        ):
            raise MemoryError

    def __dealloc__(self):
        # all of these take NULL
        lib.cipher_free(self.encryptor)
        lib.cipher_free(self.decryptor)
        lib.digest_free(self.inner)
        lib.digest_free(self.outer)
        lib.compressor_free(self.compressor)
        lib.expander_free(self.expander)
        free(self.arena)

    cdef int reserve(self, size_t size) except -1:
        """Make the buffer ``size`` bytes long at least; what was in it is lost."""
        if size > self.room:
            free(self.arena)
            self.room = 0
            self.arena = <uint8_t *>malloc(size)
            if self.arena == NULL:
                raise MemoryError
            self.room = size
        return 0


cdef class Buffers:
    """The bytes of several objects, which can't be moved or freed meanwhile."""

    cdef Py_buffer *views
    cdef Py_ssize_t count

    def __cinit__(self, list objects):
        cdef Py_ssize_t number
        self.views = <Py_buffer *>malloc((len(objects) + 1) * sizeof(Py_buffer))
        if self.views == NULL:
            raise MemoryError
        for number in range(len(objects)):
            PyObject_GetBuffer(objects[number], &self.views[number], PyBUF_SIMPLE)
            self.count = number + 1

    def __dealloc__(self):
        cdef Py_ssize_t number
        for number in range(self.count):
            PyBuffer_Release(&self.views[number])
        free(self.views)


cdef struct Hmac:
    void *inner  # digests after the padded key
    void *outer
    int length


cdef class Keys:
    """What the contents of one repository are hashed and encrypted with."""

    cdef int kind
    cdef int digest_length
    cdef blake2b_state blake2b
    cdef blake2b_path path
    cdef blake2s_state blake2s
    cdef Hmac hash_hmac
    cdef Hmac key_hmac
    cdef const void *cipher
    cdef list idle

    def __cinit__(
        self, str hash_function, int digest_length, bytes secret, str cipher, bytes content_root_key, int most_lanes=8
    ):
        """Take ``blake2b``, ``blake2s`` or a name like ``EVP_sha256`` for HMAC, and one like ``EVP_aes_256_gcm``.

        BLAKE2b is computed for up to ``most_lanes`` contents at once, where the processor can.
        """
        cdef uint8_t *key = <uint8_t *>PyBytes_AsString(secret)
        if not LOADED:
            raise ValueError("libcrypto or libzstd is missing")
        if len(secret) > 64 and hash_function == "blake2b" or len(secret) > 32 and hash_function == "blake2s":
            raise ValueError("the secret is too long")
        self.idle = []
        self.digest_length = digest_length
        if hash_function == "blake2b":
            self.kind = BLAKE2B
            self.path = blake2b_path_of(most_lanes)
            blake2b_start(&self.blake2b, key, <int>len(secret), 32)
        elif hash_function == "blake2s":
            self.kind = BLAKE2S
            blake2s_start(&self.blake2s, key, <int>len(secret), digest_length)
        else:
            self.kind = HMAC
            set_hmac(&self.hash_hmac, hash_function, secret)
        set_hmac(&self.key_hmac, "EVP_sha256", content_root_key)
        self.cipher = algorithm(cipher)
        if self.cipher == NULL:
            raise ValueError(f"{cipher} is not in libcrypto")

    def __dealloc__(self):
        if lib.digest_free == NULL:
            return
        lib.digest_free(self.hash_hmac.inner)
        lib.digest_free(self.hash_hmac.outer)
        lib.digest_free(self.key_hmac.inner)
        lib.digest_free(self.key_hmac.outer)

    cdef Worker worker(self):
        cdef Worker worker
        try:
            return self.idle.pop()
        except IndexError:
            worker = Worker()
            if not lib.encrypt_init(worker.encryptor, self.cipher, NULL, NULL, NULL) or not lib.decrypt_init(
                worker.decryptor, self.cipher, NULL, NULL, NULL
            ):
                raise ValueError("libcrypto refuses the cipher")
            return worker

    @property
    def lanes(self):
        """How many contents are hashed at once."""
        return self.path.width or 1

    cdef bint hash_all(self, Worker worker, hashed_content *contents, size_t count) noexcept nogil:
        """Write the hash of each content to where it goes, which has room for LARGEST_DIGEST bytes.

        The contents are put in another order.
        """
        cdef size_t number
        cdef bint good = True
        if self.kind == BLAKE2B:
            blake2b_many(&self.blake2b, self.path, contents, count)
            return True
        for number in range(count):
            if self.kind == BLAKE2S:
                blake2s_digest(&self.blake2s, contents[number].data, contents[number].length, contents[number].out)
            else:
                good &= hmac(
                    &self.hash_hmac, worker, contents[number].data, contents[number].length, contents[number].out
                )
        return good

    def keys_of(self, list contents, uint8_t prefix):
        """Return the index key of each content."""
        cdef Py_ssize_t count = len(contents), number
        cdef Worker worker = self.worker()
        cdef Buffers data = Buffers(contents)
        cdef hashed_content *rows = <hashed_content *>malloc(count * (sizeof(hashed_content) + LARGEST_DIGEST) + 1)
        cdef uint8_t *digests = <uint8_t *>(rows + count)
        cdef char *key
        cdef bint good
        if rows == NULL:
            raise MemoryError
        try:
            with nogil:
                for number in range(count):
                    rows[number].data = <const uint8_t *>data.views[number].buf
                    rows[number].length = data.views[number].len
                    rows[number].out = digests + number * LARGEST_DIGEST
                good = self.hash_all(worker, rows, count)
            if not good:
                raise MemoryError
            keys = []
            for number in range(count):
                made = PyBytes_FromStringAndSize(NULL, 1 + self.digest_length)
                key = PyBytes_AsString(made)
                key[0] = <char>prefix
                memcpy(key + 1, digests + number * LARGEST_DIGEST, self.digest_length)
                keys.append(made)
            self.idle.append(worker)
            return keys
        finally:
            free(rows)

    def pack(self, list contents, list levels, list headers, list tunings):
        """Compress contents by zstd where that makes them smaller.

        Args:
            contents: bytes or other buffers, which are in use until they are sealed.
            levels: of zstd for each; 0 for none.
            headers: compression header ID for each.
            tunings: for each hash log, chain log, least match and strategy, zeros for those of the level.
        """
        cdef Packed packed = Packed()
        packed.fill(self, contents, levels, headers, tunings)
        return packed

    def open(self, stored, list keys, list offsets, list lengths, list compressions, list originals, bint check):
        """Return contents from the bytes of a pack, None for each that only the Python definition can judge.

        Args:
            stored: bytes in which the contents lie.
            keys: index key of each.
            offsets: of each in ``stored``.
            lengths: bytes of each in ``stored``.
            compressions: compression header ID of each.
            originals: bytes of each when it is opened.
            check: also hash each and compare with its key.
        """
        cdef Py_ssize_t count = len(keys), number
        cdef Worker worker = self.worker()
        cdef Sealed *rows = <Sealed *>calloc(count + 1, sizeof(Sealed) + sizeof(hashed_content) + LARGEST_DIGEST)
        cdef Py_buffer view
        cdef size_t largest = 0
        cdef list opened = []
        if rows == NULL:
            raise MemoryError
        try:
            PyObject_GetBuffer(stored, &view, PyBUF_SIMPLE)
            try:
                for number in range(count):
                    self.find_row(
                        &rows[number], keys[number], &view, offsets[number], lengths[number], compressions[number],
                        originals[number],
                    )
                    if rows[number].failed:
                        opened.append(None)
                        continue
                    largest = max(largest, packed_room(&rows[number]))
                    opened.append(PyBytes_FromStringAndSize(NULL, rows[number].original))
                    rows[number].out = <uint8_t *>PyBytes_AsString(opened[number])
                worker.reserve(largest)
                with nogil:
                    self.open_all(worker, rows, count, check)
            finally:
                PyBuffer_Release(&view)
            for number in range(count):
                if rows[number].failed:
                    opened[number] = None
            self.idle.append(worker)
            return opened
        finally:
            free(rows)

    def check(self, list stored, list keys, list offsets, list lengths, list compressions, list originals):
        """Return for each content whether it can be opened and hashes to its key; it is not kept.

        Args:
            stored: for each the bytes in which it lies.
            keys: see ``open``, and so on.
            offsets: of each in its bytes.
            lengths: bytes of each in there.
            compressions: compression header ID of each.
            originals: bytes of each when it is opened.
        """
        cdef Py_ssize_t count = len(keys), number
        cdef Worker worker = self.worker()
        cdef Buffers data = Buffers(stored)
        cdef Sealed *rows = <Sealed *>calloc(count + 1, sizeof(Sealed) + sizeof(hashed_content) + LARGEST_DIGEST)
        cdef size_t largest = 0, total = 0
        cdef uint8_t *place
        if rows == NULL:
            raise MemoryError
        try:
            for number in range(count):
                self.find_row(
                    &rows[number], keys[number], &data.views[number], offsets[number], lengths[number],
                    compressions[number], originals[number],
                )
                if not rows[number].failed:
                    largest = max(largest, packed_room(&rows[number]))
                    total += rows[number].original
            worker.reserve(largest + total)
            place = worker.arena + largest
            for number in range(count):
                if not rows[number].failed:
                    rows[number].out = place
                    place += rows[number].original
            with nogil:
                self.open_all(worker, rows, count, True)
            self.idle.append(worker)
            return [not rows[number].failed for number in range(count)]
        finally:
            free(rows)

    cdef int find_row(
        self, Sealed *row, object key, const Py_buffer *view, int64_t offset, int64_t length, int64_t compression,
        int64_t original,
    ) except -1:
        """Take where a content lies; what can't be has failed."""
        set_key(row, key, 1 + self.digest_length)
        row.failed = (
            row.key == NULL or offset < 0 or offset > view.len - length or not plausible(length, original, compression)
        )
        if not row.failed:
            row.stored = <uint8_t *>view.buf + offset
            row.length = length
            row.original = original
            row.compression = compression
        return 0

    cdef bint content_cipher(self, Worker worker, const uint8_t *iv, uint8_t *key) noexcept nogil:
        """Write the key of a content to ``key``, which has room for LARGEST_DIGEST bytes."""
        return hmac(&self.key_hmac, worker, iv, IV, key)

    cdef bint seal_one(self, Worker worker, const Sealed *row, const uint8_t *nonce) noexcept nogil:
        cdef uint8_t key[LARGEST_DIGEST]
        cdef uint8_t *out = row.out
        cdef const uint8_t *iv = row.key + self.digest_length + 1 - IV
        cdef int done = 0
        memcpy(out, nonce, NONCE)
        return (
            self.content_cipher(worker, iv, key)
            and lib.encrypt_init(worker.encryptor, NULL, NULL, key, nonce)
            and lib.encrypt_update(worker.encryptor, NULL, &done, iv, IV)
            and lib.encrypt_update(worker.encryptor, out + NONCE, &done, row.payload, <int>row.length)
            and lib.encrypt_final(worker.encryptor, out + NONCE + row.length, &done)
            and lib.cipher_ctrl(worker.encryptor, EVP_CTRL_AEAD_GET_TAG, TAG, out + NONCE + row.length)
        )

    cdef bint open_one(self, Worker worker, const Sealed *row) noexcept nogil:
        cdef uint8_t key[LARGEST_DIGEST]
        cdef uint8_t tag[TAG]
        cdef const uint8_t *iv = row.key + self.digest_length + 1 - IV
        cdef size_t length = row.length - OVERHEAD
        cdef uint8_t *plain = worker.arena if row.compression else row.out
        cdef int done = 0
        memcpy(tag, row.stored + NONCE + length, TAG)
        if not (
            self.content_cipher(worker, iv, key)
            and lib.decrypt_init(worker.decryptor, NULL, NULL, key, row.stored)
            and lib.decrypt_update(worker.decryptor, NULL, &done, iv, IV)
            and lib.decrypt_update(worker.decryptor, plain, &done, row.stored + NONCE, <int>length)
            and lib.cipher_ctrl(worker.decryptor, EVP_CTRL_AEAD_SET_TAG, TAG, tag)
            and lib.decrypt_final(worker.decryptor, plain + length, &done) > 0
        ):
            return False
        return not row.compression or expand(worker, row, plain, length)

    cdef void open_all(self, Worker worker, Sealed *rows, Py_ssize_t count, bint check) noexcept nogil:
        """Open what has not failed; with ``check`` also hash it. There is room for the hashes behind the rows."""
        cdef hashed_content *contents = <hashed_content *>(rows + count)
        cdef uint8_t *digests = <uint8_t *>(contents + count)
        cdef Py_ssize_t number
        cdef size_t opened = 0
        cdef bint good
        for number in range(count):
            if not rows[number].failed:
                rows[number].failed = not self.open_one(worker, &rows[number])
        if not check:
            return
        for number in range(count):
            if not rows[number].failed:
                contents[opened].data = rows[number].out
                contents[opened].length = rows[number].original
                contents[opened].out = digests + number * LARGEST_DIGEST
                opened += 1
        good = self.hash_all(worker, contents, opened)
        for number in range(count):
            if not rows[number].failed:
                rows[number].failed = not good or memcmp(
                    digests + number * LARGEST_DIGEST, rows[number].key + 1, self.digest_length
                ) != 0


cdef struct Sealed:
    const uint8_t *key  # index key
    const uint8_t *payload  # what is to be encrypted
    uint8_t *stored  # in a pack
    uint8_t *out
    size_t length  # of the payload when it is written, in the pack when it is read
    size_t original
    uint32_t compression
    bint failed


cdef class Packed:
    """Contents as they will be encrypted."""

    cdef Keys keys
    cdef Worker worker
    cdef Sealed *rows
    cdef Py_ssize_t count
    cdef Buffers contents
    cdef readonly list lengths
    cdef readonly list compressions

    def __dealloc__(self):
        free(self.rows)

    cdef int fill(self, Keys keys, list contents, list levels, list headers, list tunings) except -1:
        cdef Py_ssize_t number
        cdef size_t total = 0
        cdef uint8_t *out
        cdef Wanted *wanted
        self.keys, self.contents, self.count = keys, Buffers(contents), len(contents)
        self.worker = keys.worker()
        self.rows = <Sealed *>calloc(self.count + 1, sizeof(Sealed) + sizeof(Wanted))
        if self.rows == NULL:
            raise MemoryError
        wanted = <Wanted *>(self.rows + self.count)
        for number in range(self.count):
            self.rows[number].payload = <const uint8_t *>self.contents.views[number].buf
            self.rows[number].length = self.contents.views[number].len
            if self.rows[number].length > MOST_BYTES:
                raise ValueError("a content is too long")
            wanted[number].level = levels[number]
            tuning = tunings[number]
            wanted[number].hash_log = tuning[0]
            wanted[number].chain_log = tuning[1]
            wanted[number].min_match = tuning[2]
            wanted[number].strategy = tuning[3]
            self.rows[number].compression = headers[number] if wanted[number].level else 0
            if wanted[number].level:
                total += self.rows[number].length
        self.worker.reserve(total + slack(total))
        with nogil:
            out = self.worker.arena
            for number in range(self.count):
                if wanted[number].level:
                    out += compress(self.worker, &self.rows[number], &wanted[number], out)
        self.lengths = [self.rows[number].length for number in range(self.count)]
        self.compressions = [self.rows[number].compression for number in range(self.count)]
        return 0

    def seal_into(self, list keys, buffers, list offsets, bytes nonces):
        """Encrypt each content into its buffer at its offset, ``length + OVERHEAD`` bytes; this can be done once.

        Args:
            keys: index key of each content.
            buffers: writable; equal ones next to each other.
            offsets: of each content in its buffer; a negative one for a content that is not to be sealed.
            nonces: 12 random bytes for each.
        """
        cdef Py_ssize_t number, opened = 0
        cdef Py_buffer *views
        cdef object last = None
        cdef bint good = True
        cdef const uint8_t *random
        if self.worker is None or not len(keys) == len(buffers) == len(offsets) == self.count:
            raise ValueError("these are not the contents that were packed")
        if len(nonces) != NONCE * self.count:
            raise ValueError(f"{self.count} contents take {NONCE * self.count} bytes of nonces, not {len(nonces)}")
        random = <const uint8_t *>PyBytes_AsString(nonces)
        views = <Py_buffer *>malloc((self.count + 1) * sizeof(Py_buffer))
        if views == NULL:
            raise MemoryError
        try:
            for number in range(self.count):
                if offsets[number] < 0:
                    continue
                if opened == 0 or buffers[number] is not last:
                    last = buffers[number]
                    PyObject_GetBuffer(last, &views[opened], PyBUF_WRITABLE)
                    opened += 1
                set_key(&self.rows[number], keys[number], 1 + self.keys.digest_length)
                if (
                    self.rows[number].key == NULL
                    or offsets[number] + self.rows[number].length + OVERHEAD > views[opened - 1].len
                ):
                    raise ValueError("a content does not fit its place")
                self.rows[number].out = <uint8_t *>views[opened - 1].buf + <Py_ssize_t>offsets[number]
            with nogil:
                for number in range(self.count):
                    if self.rows[number].out != NULL:
                        good &= self.keys.seal_one(self.worker, &self.rows[number], random + number * NONCE)
            if not good:
                raise ValueError("libcrypto could not encrypt a content")
            self.keys.idle.append(self.worker)
            self.worker = None
            self.contents = None
        finally:
            for number in range(opened):
                PyBuffer_Release(&views[number])
            free(views)


cdef int set_key(Sealed *row, object key, int length) except -1:
    """Take an index key of the right length and no other."""
    if len(key) == length and length > IV:
        row.key = <const uint8_t *>PyBytes_AsString(key)
    return 0


cdef size_t packed_room(const Sealed *row) noexcept nogil:
    """Return the bytes that a content takes before it is expanded."""
    return row.length if row.compression else 0


cdef bint plausible(int64_t length, int64_t original, int64_t compression) noexcept nogil:
    """Return whether a content can have these lengths; what is doubtful is for Python to judge."""
    if not OVERHEAD <= length <= MOST_BYTES or not 0 <= original <= MOST_BYTES:
        return False
    if compression == 0:
        return original == length - OVERHEAD
    # memory for these bytes is asked for before they are seen
    return compression >> 8 == 0x11 and original <= LARGEST_TRUSTED and length >= OVERHEAD + HEADER


cdef int set_hmac(Hmac *keyed, str digest, bytes secret) except -1:
    """Hash the two padded blocks of a key (RFC 2104)."""
    from hashlib import new

    cdef const void *kind = algorithm(digest)
    cdef uint8_t inner[LARGEST_HASH_BLOCK]
    cdef uint8_t outer[LARGEST_HASH_BLOCK]
    cdef int number, block
    name = digest.removeprefix("EVP_")
    probe = new(name)
    block = probe.block_size
    keyed.length = probe.digest_size
    if kind == NULL or block > LARGEST_HASH_BLOCK:
        raise ValueError(f"{digest} is not in libcrypto")
    key = secret if len(secret) <= block else new(name, secret).digest()
    for number in range(block):
        inner[number] = 0x36 ^ (key[number] if number < len(key) else 0)
        outer[number] = 0x5C ^ (key[number] if number < len(key) else 0)
    keyed.inner, keyed.outer = lib.digest_new(), lib.digest_new()
    if (
        keyed.inner == NULL or keyed.outer == NULL
        or not lib.digest_init(keyed.inner, kind, NULL) or not lib.digest_update(keyed.inner, inner, block)
        or not lib.digest_init(keyed.outer, kind, NULL) or not lib.digest_update(keyed.outer, outer, block)
    ):
        raise ValueError(f"{digest} can't be used")
    return 0


cdef bint hmac(const Hmac *keyed, Worker worker, const uint8_t *data, size_t length, uint8_t *out) noexcept nogil:
    cdef uint8_t digest[LARGEST_DIGEST]
    cdef unsigned int done = 0
    return (
        lib.digest_copy(worker.inner, keyed.inner)
        and lib.digest_update(worker.inner, data, length)
        and lib.digest_final(worker.inner, digest, &done)
        and lib.digest_copy(worker.outer, keyed.outer)
        and lib.digest_update(worker.outer, digest, keyed.length)
        and lib.digest_final(worker.outer, out, &done)
    )


cdef size_t slack(size_t length) noexcept nogil:
    """Return how much more room than the content a compressor is given, so that it need not look where it ends."""
    return (length >> 8) + 256


cdef size_t compress(Worker worker, Sealed *row, const Wanted *wanted, uint8_t *out) noexcept nogil:
    """Make ``row`` one of header and frame at ``out`` if they are shorter; return the room that they take."""
    cdef uint32_t header = row.compression
    cdef size_t length
    if memcmp(&worker.wanted, wanted, sizeof(Wanted)) != 0:
        lib.compressor_set(worker.compressor, ZSTD_c_checksumFlag, 1)
        lib.compressor_set(worker.compressor, ZSTD_c_compressionLevel, wanted.level)
        lib.compressor_set(worker.compressor, ZSTD_c_hashLog, wanted.hash_log)
        lib.compressor_set(worker.compressor, ZSTD_c_chainLog, wanted.chain_log)
        lib.compressor_set(worker.compressor, ZSTD_c_minMatch, wanted.min_match)
        lib.compressor_set(worker.compressor, ZSTD_c_strategy, wanted.strategy)
        worker.wanted = wanted[0]
    length = lib.compress(
        worker.compressor, out + HEADER, row.length + slack(row.length) - HEADER, row.payload, row.length
    )
    if lib.is_error(length) or HEADER + length >= row.length:
        row.compression = 0
        return 0
    out[0], out[1], out[2], out[3] = header >> 24, header >> 16 & 0xFF, header >> 8 & 0xFF, header & 0xFF
    row.payload = out
    row.length = HEADER + length
    return row.length


cdef bint expand(Worker worker, const Sealed *row, const uint8_t *payload, size_t length) noexcept nogil:
    """Expand a single frame that holds just what the index says; for anything else Python judges."""
    cdef uint32_t header = (
        <uint32_t>payload[0] << 24 | <uint32_t>payload[1] << 16 | <uint32_t>payload[2] << 8 | payload[3]
    )
    cdef const uint8_t *body = payload + HEADER
    cdef size_t size = length - HEADER
    cdef size_t done
    if header != row.compression or row.original == 0 or size < 6:
        return False
    if not body[4] & 0x20 and body[5] >> 3 > 18:  # a window of 512 MiB and more (RFC 8878, 3.1.1.1.2)
        return False
    done = lib.frame_size(body, size)
    if lib.is_error(done) or done != size:
        return False
    done = lib.expand(worker.expander, row.out, row.original, body, size)
    return not lib.is_error(done) and done == row.original
