# cython: language_level=3, boundscheck=False, wraparound=False
"""Many small files in one call without the interpreter's lock: the native twin of ``small_files``."""

import os

from pykopia.format.directory import FILE, SYMLINK
from pykopia.snapshot.placeholder import PLACEHOLDER_SUFFIX

from libc.errno cimport EEXIST, EINTR, ENOENT, ENOMEM, errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, strlen, strncmp, strrchr

cdef extern from "fcntl.h" nogil:
    int open(const char *path, int flags, ...)
    int openat(int folder, const char *path, int flags, ...)
    int O_RDONLY
    int O_WRONLY
    int O_CREAT
    int O_EXCL
    int O_NOFOLLOW
    int O_CLOEXEC
    int O_NONBLOCK

cdef extern from *:
    """
    #include <limits.h>
    #ifndef O_PATH  /* not on Linux: a folder that may not be listed is not opened then */
    #define O_PATH O_RDONLY
    #endif
    """
    int O_PATH
    enum: LONGEST_PATH "PATH_MAX"

cdef extern from "unistd.h" nogil:
    ssize_t write(int fd, const void *buffer, size_t count)
    int close(int fd)
    int fchown(int fd, unsigned int owner, unsigned int group)
    int fsync(int fd)
    int unlinkat(int folder, const char *path, int flags)

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <unistd.h>
    #include <sys/stat.h>
    #ifdef __linux__
    #include <sys/syscall.h>
    #endif

    /* Give a file its final name unless something has it; see ``python_publish``. */
    static int publish_file(int folder, const char *temporary, const char *name)
    {
        struct stat status;
    #ifdef SYS_renameat2
        if (syscall(SYS_renameat2, folder, temporary, folder, name, 1 /* RENAME_NOREPLACE */) == 0) return 0;
        if (errno != EINVAL && errno != ENOSYS) return errno;
    #endif
        if (linkat(folder, temporary, folder, name, 0) == 0) {
            unlinkat(folder, temporary, 0);
            return 0;
        }
        if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL) return errno;
        /* a file system without hard links */
        if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0) return EEXIST;
        return renameat(folder, temporary, folder, name) == 0 ? 0 : errno;
    }

    static void name_temporary(char *name, unsigned long long number)
    {
        snprintf(name, 26, ".pykopia-%016llx", number);
    }
    """
    int publish_file(int folder, const char *temporary, const char *name) noexcept nogil
    void name_temporary(char *name, unsigned long long number) noexcept nogil

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t readv(int fd, const iovec *parts, int count)

cdef extern from "time.h" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec

cdef extern from "sys/stat.h" nogil:
    int fchmod(int fd, unsigned int mode)
    int mkdirat(int folder, const char *path, unsigned int mode)
    int futimens(int fd, const timespec *times)

cdef extern from "sys/stat.h" nogil:
    struct file_status "stat":
        unsigned int st_mode
        int64_t st_size
        unsigned int st_uid
        unsigned int st_gid
        uint64_t st_dev
        timespec st_mtim
    int fstatat(int folder, const char *path, file_status *status, int flags)

cdef extern from *:
    """
    #include <errno.h>
    static void clear_errno(void) { errno = 0; }
    """
    void clear_errno() noexcept nogil

cdef extern from "dirent.h" nogil:
    ctypedef struct DIR:
        pass
    struct dirent:
        char d_name[1]
    DIR *fdopendir(int fd)
    dirent *readdir(DIR *folder)
    int closedir(DIR *folder)

cdef extern from "fcntl.h" nogil:
    int AT_FDCWD
    int AT_SYMLINK_NOFOLLOW
    int O_DIRECTORY

cdef extern from "Python.h":
    bytes PyUnicode_EncodeFSDefault(object text)
    object PyUnicode_DecodeFSDefaultAndSize(const char *text, Py_ssize_t length)
    object PyBytes_FromStringAndSize(const char *data, Py_ssize_t length)
    char *PyBytes_AsString(object data) except NULL

cdef enum:
    GREW = -1
    SHRANK = -2


cdef struct Place:
    int fd  # of an open folder, -1 for none
    const char *path  # of a file in it
    size_t length  # bytes of it that are the folder's


cdef const char *_enter(Place *place, const char *path, const char *following) noexcept nogil:
    """Open the folder of a file if the one that follows is there too; return the file's name in it.

    The whole path is the name where no folder is open, or it can't be: opening the file then tells what is wrong.
    """
    cdef char folder[LONGEST_PATH]
    cdef const char *slash = strrchr(path, c"/")
    cdef size_t length = 0 if slash == NULL else slash - path + 1
    if length <= 1 or length >= LONGEST_PATH:
        return path
    if place.fd >= 0 and place.length == length and memcmp(place.path, path, length) == 0:
        return slash + 1
    _leave(place)
    if following == NULL or strncmp(following, path, length) != 0:
        return path
    memcpy(folder, path, length)
    folder[length] = 0
    place.fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC)
    place.path, place.length = path, length
    return path if place.fd < 0 else slash + 1


cdef void _leave(Place *place) noexcept nogil:
    if place.fd >= 0:
        close(place.fd)
    place.fd = -1


cdef int _read_file(
    Place *place, const char *path, const char *following, char *buffer, Py_ssize_t size
) noexcept nogil:
    """Read exactly ``size`` bytes; 0, an errno, or that the file has another length by now."""
    cdef int fd, result = 0
    cdef Py_ssize_t filled = 0
    cdef ssize_t count
    cdef char more
    cdef iovec parts[2]
    cdef const char *name = _enter(place, path, following)
    fd = openat(AT_FDCWD if name == path else place.fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
    if fd < 0:
        return errno
    while True:
        # one byte more than there should be, by the same call
        parts[0].iov_base = buffer + filled
        parts[0].iov_len = size - filled
        parts[1].iov_base = &more
        parts[1].iov_len = 1
        count = readv(fd, parts, 2)
        if count < 0:
            if errno == EINTR:
                continue
            result = errno
            break
        filled += count
        if filled == size:
            break
        if filled > size:
            result = GREW
            break
        if count == 0:
            result = SHRANK
            break
    close(fd)
    return result


def read_files(list paths, list sizes):
    """Return the contents of files, or for each that could not be read as listed a number."""
    cdef Py_ssize_t count = len(paths), index
    cdef const char **names = <const char **>malloc(count * sizeof(char *))
    cdef char **buffers = <char **>malloc(count * sizeof(char *))
    cdef Py_ssize_t *lengths = <Py_ssize_t *>malloc(count * sizeof(Py_ssize_t))
    cdef int *results = <int *>malloc(count * sizeof(int))
    cdef list contents = []
    cdef object data
    cdef const char *following
    cdef Place place
    place.fd = -1
    if names == NULL or buffers == NULL or lengths == NULL or results == NULL:
        free(names); free(buffers); free(lengths); free(results)
        raise MemoryError
    try:
        for index in range(count):
            data = PyBytes_FromStringAndSize(NULL, sizes[index])
            contents.append(data)
            names[index] = PyBytes_AsString(paths[index])
            buffers[index] = PyBytes_AsString(data)
            lengths[index] = sizes[index]
        with nogil:
            for index in range(count):
                following = names[index + 1] if index + 1 < count else NULL
                results[index] = _read_file(&place, names[index], following, buffers[index], lengths[index])
            _leave(&place)
        for index in range(count):
            if results[index] != 0:
                contents[index] = results[index]
        return contents
    finally:
        free(names); free(buffers); free(lengths); free(results)


cdef struct Wanted:
    int folder
    const char *name
    const char *data
    Py_ssize_t length
    unsigned int uid
    unsigned int gid
    unsigned int mode
    timespec times[2]


cdef int _failed(int what, bint ignore_rights) noexcept nogil:
    """Return the errno of an attribute that could not be set, 0 where a lack of rights is passed over."""
    if what == 0:
        return 0
    if ignore_rights and (errno == 1 or errno == 13):
        return 0
    return errno


cdef int _set_attributes(int fd, const Wanted *wanted, int flags) noexcept nogil:
    """Set owner, then mode (a change of owner clears set-uid bits), then time; flush."""
    cdef int result = 0
    if flags & 1:
        result = _failed(fchown(fd, wanted.uid, wanted.gid), flags & 8)
    if result == 0 and flags & 2:
        result = _failed(fchmod(fd, wanted.mode), flags & 8)
    if result == 0 and flags & 4:
        result = _failed(futimens(fd, wanted.times), flags & 8)
    if result == 0 and flags & 16:
        result = _failed(fsync(fd), False)
    return result


cdef int _write_file(const Wanted *wanted, int flags, uint64_t number) noexcept nogil:
    """Write a file under the temporary name of a number, and give it its own name when it is whole."""
    cdef int fd, result = 0
    cdef Py_ssize_t written = 0
    cdef ssize_t count
    cdef char temporary[26]
    name_temporary(temporary, number)
    fd = openat(wanted.folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    if fd < 0:
        return errno
    while written < wanted.length:
        count = write(fd, wanted.data + written, wanted.length - written)
        if count < 0:
            if errno == EINTR:
                continue
            result = errno
            break
        written += count
    if result == 0:
        result = _set_attributes(fd, wanted, flags)
    if close(fd) != 0 and result == 0:
        result = errno
    if result == 0:
        result = publish_file(wanted.folder, temporary, wanted.name)
    if result != 0:
        unlinkat(wanted.folder, temporary, 0)
    return result


def write_files(list folders, entries, list contents, int flags):
    """Make new files in open folders; return an errno for each, 0 for those that were made."""
    cdef Py_ssize_t count = len(entries), index
    cdef Wanted *wanted
    cdef int *results
    cdef uint64_t number = int.from_bytes(os.urandom(8))
    cdef list names = [PyUnicode_EncodeFSDefault(entry.name) for entry in entries]
    if len(folders) != count or len(contents) != count:
        raise ValueError("these are not as many folders and contents as entries")
    wanted = <Wanted *>malloc(count * sizeof(Wanted))
    results = <int *>malloc(count * sizeof(int))
    if wanted == NULL or results == NULL:
        free(wanted); free(results)
        raise MemoryError
    try:
        for index in range(count):
            entry = entries[index]
            wanted[index].folder = folders[index]
            wanted[index].name = PyBytes_AsString(names[index])
            wanted[index].data = PyBytes_AsString(contents[index])
            wanted[index].length = len(contents[index])
            _take_attributes(&wanted[index], entry)
        with nogil:
            for index in range(count):
                results[index] = _write_file(&wanted[index], flags, number + index)
        return [results[index] for index in range(count)]
    finally:
        free(wanted); free(results)


def publish(int folder, str temporary, str name):
    """Give a file of an open folder its final name unless something has it."""
    cdef bytes before = PyUnicode_EncodeFSDefault(temporary)
    cdef bytes after = PyUnicode_EncodeFSDefault(name)
    cdef const char *old = PyBytes_AsString(before)
    cdef const char *new = PyBytes_AsString(after)
    cdef int result
    with nogil:
        result = publish_file(folder, old, new)
    if result != 0:
        raise OSError(result, os.strerror(result), name)


cdef int _take_attributes(Wanted *wanted, entry) except -1:
    cdef int64_t nanoseconds = entry.mtime_ns
    wanted.mode = entry.mode
    wanted.uid = entry.uid
    wanted.gid = entry.gid
    # C divides towards zero, times before 1970 need the floor
    wanted.times[0].tv_nsec = ((nanoseconds % 1000000000) + 1000000000) % 1000000000
    wanted.times[0].tv_sec = (nanoseconds - wanted.times[0].tv_nsec) // 1000000000
    wanted.times[1] = wanted.times[0]
    return 0


# --- folders


def make_folder(int parent, str name):
    """Make a folder in an open one, if need be; return its descriptor, and whether it was made."""
    cdef bytes place = PyUnicode_EncodeFSDefault(name)
    cdef const char *path = PyBytes_AsString(place)
    cdef int fd, made, reason
    with nogil:
        made = mkdirat(parent, path, 0o700)
        reason = errno
        fd = -1
        if made == 0 or reason == EEXIST:
            fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            reason = errno
    if fd < 0:
        raise OSError(reason, os.strerror(reason), name)
    return fd, made == 0


def finish_folder(int descriptor, entry, int flags):
    """Set the attributes of an open folder, and close it."""
    cdef Wanted wanted
    cdef int result
    _take_attributes(&wanted, entry)
    with nogil:
        result = _set_attributes(descriptor, &wanted, flags)
        close(descriptor)
    if result != 0:
        raise OSError(result, os.strerror(result), entry.name)


# --- what is in a folder

cdef class Status:
    """What ``os.stat_result`` tells, as far as snapshots need it; made in a tenth of the time."""

    cdef readonly unsigned int st_mode
    cdef readonly int64_t st_size
    cdef readonly int64_t st_mtime_ns
    cdef readonly unsigned int st_uid
    cdef readonly unsigned int st_gid
    cdef readonly uint64_t st_dev


EARLIEST, LATEST = -(1 << 63), (1 << 63) - 1
cdef enum:
    PERMISSIONS = 0o7777


cdef struct Told:
    int64_t size
    int64_t mtime
    uint64_t dev
    unsigned int mode
    unsigned int uid
    unsigned int gid


cdef struct Each:
    Py_ssize_t name  # where it begins among the names
    int length
    Told told


cdef struct Table:
    Each *each
    Py_ssize_t count
    Py_ssize_t room
    char *names
    Py_ssize_t used
    Py_ssize_t names_room
    int result  # 0, or the errno of what could not be looked at


cdef int64_t _nanoseconds(int64_t seconds, int64_t part) noexcept nogil:
    """Return a time in nanoseconds, the nearest one that 64 bits hold."""
    if seconds > 9223372035LL:
        return 0x7fffffffffffffffLL
    if seconds < -9223372036LL:
        return -0x7fffffffffffffffLL - 1
    return seconds * 1000000000 + part


cdef int _add(Table *listing, const char *name, const file_status *status) noexcept nogil:
    cdef Py_ssize_t length = strlen(name)
    cdef void *more
    if listing.count == listing.room:
        more = realloc(listing.each, (2 * listing.room + 64) * sizeof(Each))
        if more == NULL:
            return ENOMEM
        listing.each = <Each *>more
        listing.room = 2 * listing.room + 64
    if listing.used + length > listing.names_room:
        more = realloc(listing.names, 2 * listing.names_room + length + 4096)
        if more == NULL:
            return ENOMEM
        listing.names = <char *>more
        listing.names_room = 2 * listing.names_room + length + 4096
    memcpy(listing.names + listing.used, name, length)
    listing.each[listing.count].name = listing.used
    listing.each[listing.count].length = length
    listing.each[listing.count].told.mode = status.st_mode
    listing.each[listing.count].told.size = status.st_size
    listing.each[listing.count].told.mtime = _nanoseconds(status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    listing.each[listing.count].told.uid = status.st_uid
    listing.each[listing.count].told.gid = status.st_gid
    listing.each[listing.count].told.dev = status.st_dev
    listing.used += length
    listing.count += 1
    return 0


cdef int _list(const char *path, Table *listing) noexcept nogil:
    """Read a folder and the status of all in it; 0 or the first errno, of a name that is gone again none."""
    cdef int fd, result = 0
    cdef DIR *folder
    cdef dirent *entry
    cdef file_status status
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0:
        return errno
    folder = fdopendir(fd)
    if folder == NULL:
        result = errno
        close(fd)
        return result
    while result == 0:
        clear_errno()
        entry = readdir(folder)
        if entry == NULL:
            result = errno
            break
        if entry.d_name[0] == c"." and (
            entry.d_name[1] == 0 or (entry.d_name[1] == c"." and entry.d_name[2] == 0)
        ):
            continue
        if fstatat(fd, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) != 0:
            if errno != ENOENT:
                result = errno
        else:
            result = _add(listing, entry.d_name, &status)
    closedir(folder)
    return result


cdef class Listing:
    """Names and statuses of what is in a folder; objects are made of them when they are asked for."""

    cdef Table table

    def __dealloc__(self):
        free(self.table.each)
        free(self.table.names)

    def __len__(self):
        return self.table.count

    def __iter__(self):
        cdef Py_ssize_t number
        cdef list found = []
        for number in range(self.table.count):
            found.append((self.name(number), self.status(number)))
        return iter(found)

    def __contains__(self, wanted):
        """Whether there is a name."""
        cdef bytes text = PyUnicode_EncodeFSDefault(wanted)
        cdef const char *data = PyBytes_AsString(text)
        cdef Py_ssize_t number, length = len(text)
        cdef Each *each
        for number in range(self.table.count):
            each = &self.table.each[number]
            if each.length == length and memcmp(self.table.names + each.name, data, length) == 0:
                return True
        return False

    cdef str name(self, Py_ssize_t number):
        cdef Each *each = &self.table.each[number]
        return PyUnicode_DecodeFSDefaultAndSize(self.table.names + each.name, each.length)

    cdef Status status(self, Py_ssize_t number):
        cdef Told *told = &self.table.each[number].told
        cdef Status status = Status.__new__(Status)
        status.st_mode, status.st_size, status.st_mtime_ns = told.mode, told.size, told.mtime
        status.st_uid, status.st_gid, status.st_dev = told.uid, told.gid, told.dev
        return status


def list_folders(list paths):
    """Return name and status of all that is in each folder, None for one of which anything can't be looked at."""
    cdef Py_ssize_t count = len(paths), number
    cdef const char **places = <const char **>malloc(count * sizeof(char *))
    cdef Table **tables = <Table **>malloc(count * sizeof(Table *))
    cdef list listings = []
    cdef Listing listing
    try:
        if places == NULL or tables == NULL:
            raise MemoryError
        for number in range(count):
            listing = Listing.__new__(Listing)
            listings.append(listing)
            tables[number] = &listing.table
            places[number] = PyBytes_AsString(paths[number])
        with nogil:
            for number in range(count):
                tables[number].result = _list(places[number], tables[number])
        for number in range(count):
            if tables[number].result != 0:
                listings[number] = None
        return listings
    finally:
        free(places)
        free(tables)


# --- what is as it was in an earlier snapshot

cdef extern from "Python.h":
    int64_t PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    Py_ssize_t PyUnicode_Tailmatch(
        object text, object part, Py_ssize_t start, Py_ssize_t end, int direction
    ) except -1

cdef enum:
    KIND = 0o170000
    REGULAR = 0o100000
    FOLDER = 0o040000
    LINK = 0o120000


cdef int _is(object value, int64_t number) except -1:
    cdef int overflow = 0
    cdef int64_t found = PyLong_AsLongLongAndOverflow(value, &overflow)
    return overflow == 0 and found == number


cdef object _as_it_was(str name, const Told *told, object earlier, str kind):
    """Return the first earlier entry of a name that is as it was, else None."""
    for entries in earlier:
        old = entries.get(name)
        if (
            old is not None
            and _is(old.mtime_ns, told.mtime)
            and _is(old.size, told.size)
            and _is(old.mode, told.mode & PERMISSIONS)
            and _is(old.uid, told.uid)
            and _is(old.gid, told.gid)
            and old.type == kind
            and not PyUnicode_Tailmatch(name, PLACEHOLDER_SUFFIX, 0, len(name), 1)
        ):
            return old
    return None


def sift(entries, earlier):
    """Return folders, files, links, what is none of these, and the earlier entries of what is as it was."""
    cdef list folders = [], files = [], links = [], unknown = [], taken = [], place, taken_links = []
    cdef Listing listing = entries if isinstance(entries, Listing) else None
    cdef list others = [] if listing is not None else list(entries)
    cdef Py_ssize_t number, count = len(others) if listing is None else listing.table.count
    cdef Told told
    cdef unsigned int kind
    cdef str name
    for number in range(count):
        each = None
        if listing is not None:
            name = listing.name(number)
            told = listing.table.each[number].told
        else:
            name, each = others[number]
            told.mode, told.size, told.uid, told.gid = each.st_mode, each.st_size, each.st_uid, each.st_gid
            told.mtime = min(max(each.st_mtime_ns, EARLIEST), LATEST)
        kind = told.mode & KIND
        if kind == REGULAR:
            old = _as_it_was(name, &told, earlier, FILE)
            if old is not None:
                taken.append(old)
                continue
            place = files
        elif kind == FOLDER:
            place = folders
        elif kind == LINK:
            old = _as_it_was(name, &told, earlier, SYMLINK)
            if old is not None:
                taken_links.append(old)
                continue
            place = links
        else:
            place = unknown
        place.append((name, listing.status(number) if listing is not None else each))
    return folders, files, links, unknown, taken + taken_links
