# The functions of libcrypto and libzstd that _batch calls, looked up at run time; a part of that module, for it includes this.

ctypedef void *(*new_fn)() noexcept nogil
ctypedef void (*free_fn)(void *) noexcept nogil
ctypedef size_t (*free_zstd_fn)(void *) noexcept nogil
ctypedef int (*init_fn)(void *, const void *, void *, const uint8_t *, const uint8_t *) noexcept nogil
ctypedef int (*update_fn)(void *, uint8_t *, int *, const uint8_t *, int) noexcept nogil
ctypedef int (*final_fn)(void *, uint8_t *, int *) noexcept nogil
ctypedef int (*ctrl_fn)(void *, int, int, void *) noexcept nogil
ctypedef const void *(*algorithm_fn)() noexcept nogil
ctypedef int (*digest_init_fn)(void *, const void *, void *) noexcept nogil
ctypedef int (*digest_update_fn)(void *, const void *, size_t) noexcept nogil
ctypedef int (*digest_final_fn)(void *, uint8_t *, unsigned int *) noexcept nogil
ctypedef int (*digest_copy_fn)(void *, const void *) noexcept nogil
ctypedef size_t (*set_parameter_fn)(void *, int, int) noexcept nogil
ctypedef size_t (*transform_fn)(void *, void *, size_t, const void *, size_t) noexcept nogil
ctypedef unsigned int (*is_error_fn)(size_t) noexcept nogil
ctypedef size_t (*frame_size_fn)(const void *, size_t) noexcept nogil

cdef struct Libraries:
    new_fn cipher_new
    free_fn cipher_free
    init_fn encrypt_init
    update_fn encrypt_update
    final_fn encrypt_final
    init_fn decrypt_init
    update_fn decrypt_update
    final_fn decrypt_final
    ctrl_fn cipher_ctrl
    new_fn digest_new
    free_fn digest_free
    digest_init_fn digest_init
    digest_update_fn digest_update
    digest_final_fn digest_final
    digest_copy_fn digest_copy
    new_fn compressor_new
    free_zstd_fn compressor_free
    set_parameter_fn compressor_set
    transform_fn compress
    new_fn expander_new
    free_zstd_fn expander_free
    transform_fn expand
    is_error_fn is_error
    frame_size_fn frame_size

cdef Libraries lib
cdef void *crypto = NULL


cdef bint find(void *library, dict places) except -1:
    """Look up the functions of a library; return whether all are there."""
    cdef void *function
    for name, place in places.items():
        function = dlsym(library, PyBytes_AsString(name))
        if function == NULL:
            return False
        (<void **><size_t>place)[0] = function
    return True


cdef bint load_crypto() except -1:
    global crypto
    import _hashlib  # loads libcrypto where Python does not carry one of its own

    crypto = dlopen(b"libcrypto.so.3", RTLD_NOW | RTLD_LOCAL)
    if crypto == NULL:
        return False
    return find(crypto, {
        b"EVP_CIPHER_CTX_new": <size_t>&lib.cipher_new,
        b"EVP_CIPHER_CTX_free": <size_t>&lib.cipher_free,
        b"EVP_EncryptInit_ex": <size_t>&lib.encrypt_init,
        b"EVP_EncryptUpdate": <size_t>&lib.encrypt_update,
        b"EVP_EncryptFinal_ex": <size_t>&lib.encrypt_final,
        b"EVP_DecryptInit_ex": <size_t>&lib.decrypt_init,
        b"EVP_DecryptUpdate": <size_t>&lib.decrypt_update,
        b"EVP_DecryptFinal_ex": <size_t>&lib.decrypt_final,
        b"EVP_CIPHER_CTX_ctrl": <size_t>&lib.cipher_ctrl,
        b"EVP_MD_CTX_new": <size_t>&lib.digest_new,
        b"EVP_MD_CTX_free": <size_t>&lib.digest_free,
        b"EVP_DigestInit_ex": <size_t>&lib.digest_init,
        b"EVP_DigestUpdate": <size_t>&lib.digest_update,
        b"EVP_DigestFinal_ex": <size_t>&lib.digest_final,
        b"EVP_MD_CTX_copy_ex": <size_t>&lib.digest_copy,
    })


cdef bint load_zstd() except -1:
    cdef void *library
    from importlib.util import find_spec

    spec = find_spec("zstandard._cffi")
    paths = [] if spec is None or not spec.origin else [os.fsencode(spec.origin)]
    for path in [*paths, b"libzstd.so.1"]:
        library = dlopen(PyBytes_AsString(path), RTLD_NOW | RTLD_LOCAL)
        if library != NULL and find(library, {
            b"ZSTD_createCCtx": <size_t>&lib.compressor_new,
            b"ZSTD_freeCCtx": <size_t>&lib.compressor_free,
            b"ZSTD_CCtx_setParameter": <size_t>&lib.compressor_set,
            b"ZSTD_compress2": <size_t>&lib.compress,
            b"ZSTD_createDCtx": <size_t>&lib.expander_new,
            b"ZSTD_freeDCtx": <size_t>&lib.expander_free,
            b"ZSTD_decompressDCtx": <size_t>&lib.expand,
            b"ZSTD_isError": <size_t>&lib.is_error,
            b"ZSTD_findFrameCompressedSize": <size_t>&lib.frame_size,
        }):
            return True
    return False


def _load():
    try:
        return load_crypto() and load_zstd()
    except ImportError:
        return False


LOADED = _load()


cdef const void *algorithm(str name) except? NULL:
    """Return what libcrypto calls a cipher or digest by this name, NULL for none."""
    cdef void *function = dlsym(crypto, PyBytes_AsString(name.encode()))
    return NULL if function == NULL else (<algorithm_fn>function)()
