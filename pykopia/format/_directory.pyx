# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Native twin of the hot parts of ``directory``: the entries of a directory to JSON and back.

Only what Kopia itself writes is handled here. For anything else (names that are not UTF-8, an entry that must be
refused, other order of keys, blanks, escaped surrogates, other forms of numbers and times) the answer is None, and the
Python definition does it or raises the error.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort, realloc
from libc.string cimport memchr, memcmp, memcpy

cdef extern from "Python.h":
    object PyBytes_FromStringAndSize(const char *text, Py_ssize_t length)
    int PyBytes_AsStringAndSize(object text, char **buffer, Py_ssize_t *length) except -1
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *length) except NULL
    object PyUnicode_DecodeUTF8(const char *text, Py_ssize_t length, const char *errors)
    long long PyLong_AsLongLong(object number) except? -1

cdef extern from *:
    """
    /* Bytes of a string that do not stand for themselves in Go's JSON; 0xE2 may begin U+2028 or U+2029. */
    static const unsigned char SPECIAL[256] = {
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        ['"'] = 1, ['&'] = 1, ['<'] = 1, ['>'] = 1, ['\\\\'] = 1, [0xE2] = 1,
    };
    """
    const uint8_t SPECIAL[256]

cdef enum:
    SECOND = 1000000000
    DAY = 86400

cdef int64_t MAX_INT64 = 0x7FFFFFFFFFFFFFFF

cdef enum:
    # What an entry takes at most beside its name and object ID, and a summary of numbers: keys, quotes and numbers.
    FIXED_LENGTH = 256
    SUMMARY_LENGTH = 256
    # Number of entries from which on other threads may run meanwhile; for fewer the hand-over is longer than the work.
    WORTH_RELEASING = 128

cdef struct Span:
    const char *start
    Py_ssize_t length

cdef struct Summary:
    Span text  # JSON that Python wrote; empty when the numbers are all there is
    int64_t size
    int64_t files
    int64_t symlinks
    int64_t dirs
    int64_t latest
    int64_t failed
    bint present

cdef struct Entry:
    Summary totals  # when it is written
    uint64_t order  # the first eight bytes of the name as a number
    Span name
    Span object_id
    Span summary  # when it is read
    int64_t size
    int64_t mtime
    int64_t uid
    int64_t gid
    int64_t mode
    bint escaped
    char kind


# --- writing


def encode_directory(entries, summary, astuple, summary_text):
    """Return a directory object with its entries sorted, or None where the Python definition is needed."""
    cdef list items = list(entries)
    cdef list kept = []
    cdef Summary totals
    cdef Py_ssize_t count = len(items)
    cdef Py_ssize_t bound = FIXED_LENGTH + SUMMARY_LENGTH
    cdef Py_ssize_t number = 0
    cdef bint distinct
    cdef Entry *rows
    cdef const Entry **order
    cdef char *out
    cdef char *end
    rows = <Entry *>malloc((count + 1) * (sizeof(Entry) + sizeof(Entry *)))
    if rows == NULL:
        raise MemoryError
    order = <const Entry **>(rows + count)
    try:
        if not fill_summary(&totals, summary, astuple, summary_text, kept):
            return None
        bound += totals.text.length
        for fields in map(astuple, items):
            if not fill(&rows[number], fields, astuple, summary_text, kept):
                return None
            order[number] = &rows[number]
            bound += 6 * rows[number].name.length + rows[number].object_id.length + FIXED_LENGTH
            bound += rows[number].totals.text.length + SUMMARY_LENGTH * rows[number].totals.present
            number += 1
        if count < WORTH_RELEASING:
            distinct = put_in_order(order, count)
        else:
            with nogil:
                distinct = put_in_order(order, count)
        if not distinct:
            return None
        out = <char *>malloc(bound)
        if out == NULL:
            raise MemoryError
        try:
            if count < WORTH_RELEASING:
                end = put_directory(out, order, count, &totals)
            else:
                with nogil:
                    end = put_directory(out, order, count, &totals)
            return PyBytes_FromStringAndSize(out, end - out)
        finally:
            free(out)
    except (TypeError, ValueError, OverflowError):  # a value of a wrong type or size, or a name that is not UTF-8
        return None
    finally:
        free(rows)


cdef bint fill(Entry *row, tuple fields, astuple, summary_text, list kept) except -1:
    """Take the fields of one entry, in the order of ``DirectoryEntry``; return whether it may be written."""
    cdef Span kind
    row.name.start = PyUnicode_AsUTF8AndSize(fields[0], &row.name.length)
    kind.start = PyUnicode_AsUTF8AndSize(fields[1], &kind.length)
    row.mode = PyLong_AsLongLong(fields[2])
    row.size = PyLong_AsLongLong(fields[3])
    row.mtime = PyLong_AsLongLong(fields[4])
    row.uid = PyLong_AsLongLong(fields[5])
    row.gid = PyLong_AsLongLong(fields[6])
    row.object_id.start = PyUnicode_AsUTF8AndSize(fields[7], &row.object_id.length)
    row.order = order_of(row.name)
    row.kind = kind.start[0]
    if kind.length != 1 or (row.kind != c"f" and row.kind != c"d" and row.kind != c"s"):
        return False
    if not 0 <= row.mode <= 0o7777 or row.size < 0 or not 0 <= row.uid <= 0xFFFFFFFF or not 0 <= row.gid <= 0xFFFFFFFF:
        return False
    if not is_name(row.name) or not is_object_id(row.object_id):
        return False
    return fill_summary(&row.totals, fields[8], astuple, summary_text, kept)


cdef bint fill_summary(Summary *totals, summary, astuple, summary_text, list kept) except -1:
    """Take the fields of a summary, in the order of ``DirectorySummary``; return whether it may be written."""
    cdef tuple fields
    totals.present = summary is not None
    totals.text.length = 0
    if not totals.present:
        return True
    fields = astuple(summary)
    if fields[5] or fields[7] or fields[8]:
        text = summary_text(summary)
        kept.append(text)
        totals.text.start = PyUnicode_AsUTF8AndSize(text, &totals.text.length)
        return True
    totals.size = PyLong_AsLongLong(fields[0])
    totals.files = PyLong_AsLongLong(fields[1])
    totals.symlinks = PyLong_AsLongLong(fields[2])
    totals.dirs = PyLong_AsLongLong(fields[3])
    totals.latest = PyLong_AsLongLong(fields[4])
    totals.failed = PyLong_AsLongLong(fields[6])
    return (totals.size | totals.files | totals.symlinks | totals.dirs | totals.failed) >= 0


cdef bint is_name(Span name) noexcept nogil:
    if name.length == 0 or (name.length <= 2 and name.start[0] == c"." and name.start[name.length - 1] == c"."):
        return False
    return memchr(name.start, c"/", name.length) == NULL and memchr(name.start, 0, name.length) == NULL


cdef bint is_object_id(Span text) noexcept nogil:
    """Return whether this is an object ID as it is written: ``(I*|Z)[g-z]?([0-9a-f]{2}){1,32}``."""
    cdef const char *at = text.start
    cdef const char *end = text.start + text.length
    cdef Py_ssize_t number
    cdef uint8_t byte
    cdef int wrong = 0
    if at < end and at[0] == c"Z":
        at += 1
    else:
        while at < end and at[0] == c"I":
            at += 1
    if at < end and c"g" <= at[0] <= c"z":
        at += 1
    for number in range(end - at):  # without branches: which digits come is not predictable
        byte = <uint8_t>at[number]
        wrong |= (<uint8_t>(byte - c"0") > 9) & (<uint8_t>(byte - c"a") > 5)
    return not wrong and 2 <= end - at <= 64 and (end - at) % 2 == 0


cdef uint64_t order_of(Span name) noexcept nogil:
    cdef uint64_t order = 0
    cdef Py_ssize_t number
    for number in range(name.length if name.length < 8 else 8):
        order |= <uint64_t><uint8_t>name.start[number] << (56 - 8 * number)
    return order


cdef int compare_names(const Entry *left, const Entry *right) noexcept nogil:
    cdef Py_ssize_t common = left.name.length if left.name.length < right.name.length else right.name.length
    cdef int order
    if left.order != right.order:
        return 1 if left.order > right.order else -1
    order = memcmp(left.name.start, right.name.start, common)
    if order == 0:
        order = (left.name.length > right.name.length) - (left.name.length < right.name.length)
    return order


cdef int compare_rows(const void *left, const void *right) noexcept nogil:
    cdef const Entry *first = (<const Entry **>left)[0]
    cdef const Entry *second = (<const Entry **>right)[0]
    if (first.kind == c"d") != (second.kind == c"d"):
        return -1 if first.kind == c"d" else 1
    return compare_names(first, second)


cdef bint put_in_order(const Entry **rows, Py_ssize_t count) noexcept nogil:
    """Sort directories before the rest and each by name; return whether all names differ."""
    cdef Py_ssize_t number, folders = 0, left = 0, right
    cdef int order
    for number in range(1, count):
        if compare_rows(&rows[number - 1], &rows[number]) > 0:
            qsort(rows, count, sizeof(Entry *), compare_rows)
            break
    while folders < count and rows[folders].kind == c"d":
        folders += 1
    for number in range(1, count):
        if number != folders and compare_names(rows[number - 1], rows[number]) == 0:
            return False
    right = folders
    while left < folders and right < count:
        order = compare_names(rows[left], rows[right])
        if order == 0:
            return False
        if order < 0:
            left += 1
        else:
            right += 1
    return True


cdef char *put_directory(char *out, const Entry **rows, Py_ssize_t count, const Summary *totals) noexcept nogil:
    out = put(out, b'{"stream":"kopia:directory","entries":', 38)
    out = put_entries(out, rows, count) if count else put(out, b"null", 4)
    out = put(out, b',"summary":', 11)
    out = put_summary(out, totals) if totals.present else put(out, b"null", 4)
    return put(out, b"}\n", 2)


cdef char *put_entries(char *out, const Entry **rows, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t number
    cdef const Entry *row
    out[0] = c"["
    out += 1
    for number in range(count):
        row = rows[number]
        out = put(out, b',{"name":"' if number else b'{"name":"', 10 if number else 9)
        out = put_escaped(out, row.name)
        out = put(out, b'","type":"', 10)
        out[0] = row.kind
        out[1] = c'"'
        out += 2
        if row.mode:
            out = put_mode(put(out, b',"mode":"', 9), row.mode)
        if row.size:
            out = put_number(put(out, b',"size":', 8), row.size)
        if row.mtime:
            out = put_time(put(out, b',"mtime":"', 10), row.mtime)
            out[0] = c'"'
            out += 1
        if row.uid:
            out = put_number(put(out, b',"uid":', 7), row.uid)
        if row.gid:
            out = put_number(put(out, b',"gid":', 7), row.gid)
        out = put(put(out, b',"obj":"', 8), row.object_id.start, row.object_id.length)
        out[0] = c'"'
        out += 1
        if row.totals.present:
            out = put_summary(put(out, b',"summ":', 8), &row.totals)
        out[0] = c"}"
        out += 1
    out[0] = c"]"
    return out + 1


cdef inline char *put(char *out, const char *text, Py_ssize_t length) noexcept nogil:
    memcpy(out, text, length)
    return out + length


cdef char *put_escaped(char *out, Span text) noexcept nogil:
    cdef const char *digits = b"0123456789abcdef"
    cdef const uint8_t *at = <const uint8_t *>text.start
    cdef const uint8_t *end = at + text.length
    cdef const uint8_t *plain
    cdef uint8_t byte
    while True:
        plain = at
        while at < end and not SPECIAL[at[0]]:
            at += 1
        out = put(out, <const char *>plain, at - plain)
        if at == end:
            return out
        byte = at[0]
        if byte == 0xE2 and end - at > 2 and at[1] == 0x80 and (at[2] == 0xA8 or at[2] == 0xA9):
            out = put(out, b"\\u2028" if at[2] == 0xA8 else b"\\u2029", 6)
            at += 3
            continue
        at += 1
        if byte == c'"' or byte == c"\\":
            out[0] = c"\\"
            out[1] = byte
            out += 2
        elif byte == 0xE2:
            out[0] = byte
            out += 1
        elif byte == 8:
            out = put(out, b"\\b", 2)
        elif byte == 9:
            out = put(out, b"\\t", 2)
        elif byte == 10:
            out = put(out, b"\\n", 2)
        elif byte == 12:
            out = put(out, b"\\f", 2)
        elif byte == 13:
            out = put(out, b"\\r", 2)
        else:
            out = put(out, b"\\u00", 4)
            out[0] = digits[byte >> 4]
            out[1] = digits[byte & 15]
            out += 2


cdef char *put_number(char *out, int64_t number) noexcept nogil:
    cdef int length = 1
    cdef uint64_t limit = 10
    while length < 19 and <uint64_t>number >= limit:
        length += 1
        limit *= 10
    return put_digits(out, number, length)


cdef char *put_mode(char *out, int64_t mode) noexcept nogil:
    cdef int64_t go = (
        (mode & 0o777) | (mode & 0o4000) << (23 - 11) | (mode & 0o2000) << (22 - 10) | (mode & 0o1000) << (20 - 9)
    )
    cdef int shift = 24
    out[0] = c"0"
    out += 1
    while not go >> shift:
        shift -= 3
    while shift >= 0:
        out[0] = c"0" + <char>(go >> shift & 7)
        out += 1
        shift -= 3
    out[0] = c'"'
    return out + 1


cdef inline char *put_digits(char *out, uint64_t number, int count) noexcept nogil:
    cdef int place = count
    while place:
        place -= 1
        out[place] = c"0" + <char>(number % 10)
        number = number // 10
    return out + count


cdef char *put_time(char *out, int64_t ns) noexcept nogil:
    cdef int64_t fraction = ns % SECOND
    cdef int64_t seconds = ns // SECOND
    cdef int64_t second, days, era, year, month, year_of_era, day_of_era
    if fraction < 0:
        fraction += SECOND
        seconds -= 1
    second = seconds % DAY
    days = seconds // DAY
    if second < 0:
        second += DAY
        days -= 1
    # Years are counted from 0000-03-01 here, so that the leap day is the last of a year. No time of 64 bits is older.
    days += 719468
    era = days // 146097
    day_of_era = days % 146097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    days = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * days + 2) // 153
    days -= (153 * month + 2) // 5
    year = year_of_era + 400 * era + (month >= 10)
    month = month + 3 if month < 10 else month - 9
    out = put_digits(out, year, 4)
    out[0] = c"-"
    out = put_digits(out + 1, month, 2)
    out[0] = c"-"
    out = put_digits(out + 1, days + 1, 2)
    out[0] = c"T"
    out = put_digits(out + 1, second // 3600, 2)
    out[0] = c":"
    out = put_digits(out + 1, second // 60 % 60, 2)
    out[0] = c":"
    out = put_digits(out + 1, second % 60, 2)
    if fraction:
        out[0] = c"."
        out = put_digits(out + 1, fraction, 9)
        while (out - 1)[0] == c"0":
            out -= 1
    out[0] = c"Z"
    return out + 1


cdef char *put_summary(char *out, const Summary *totals) noexcept nogil:
    if totals.text.length:
        return put(out, totals.text.start, totals.text.length)
    out = put_number(put(out, b'{"size":', 8), totals.size)
    out = put_number(put(out, b',"files":', 9), totals.files)
    out = put_number(put(out, b',"symlinks":', 12), totals.symlinks)
    out = put_number(put(out, b',"dirs":', 8), totals.dirs)
    out = put_time(put(out, b',"maxTime":"', 12), totals.latest)
    out = put_number(put(out, b'","numFailed":', 14), totals.failed)
    out[0] = c"}"
    return out + 1


# --- reading


cdef struct Cursor:
    const char *at
    const char *end


def decode_directory(bytes data, make_summary, decode_summary):
    """Return the columns of the entries and the summary of a directory object, or None where Python is needed.

    The columns are lists in the order of the fields of ``DirectoryEntry``.
    """
    cdef Cursor cursor
    cdef Entry *rows = NULL
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t number
    cdef Span summary
    cdef Entry *row
    cdef char *start
    cdef Py_ssize_t length
    cdef bint usual
    cdef list columns
    cdef list names = [], kinds = [], modes = [], sizes = [], mtimes = [], uids = [], gids = [], ids = []
    cdef list summaries = []
    cdef object file_kind = "f", directory_kind = "d", symlink_kind = "s"
    PyBytes_AsStringAndSize(data, &start, &length)
    cursor.at, cursor.end = start, start + length
    if length < WORTH_RELEASING * FIXED_LENGTH:
        usual = scan_directory(&cursor, &rows, &count, &summary)
    else:
        with nogil:
            usual = scan_directory(&cursor, &rows, &count, &summary)
    try:
        if not usual:
            return None
        for number in range(count):
            row = &rows[number]
            name = text_of(row.name, row.escaped)
            if name is None:
                return None
            names.append(name)
            kinds.append(file_kind if row.kind == c"f" else directory_kind if row.kind == c"d" else symlink_kind)
            modes.append(row.mode)
            sizes.append(row.size)
            mtimes.append(row.mtime)
            uids.append(row.uid)
            gids.append(row.gid)
            ids.append(PyUnicode_DecodeUTF8(row.object_id.start, row.object_id.length, NULL))
            summaries.append(summary_of(row.summary, make_summary, decode_summary))
        columns = [names, kinds, modes, sizes, mtimes, uids, gids, ids, summaries]
        return columns, summary_of(summary, make_summary, decode_summary)
    except UnicodeDecodeError:
        return None
    finally:
        free(rows)


cdef bint scan_directory(Cursor *cursor, Entry **rows, Py_ssize_t *count, Span *summary) noexcept nogil:
    cdef Py_ssize_t room = 0
    cdef Entry *more
    if not eat(cursor, b'{"stream":"kopia:directory","entries":', 38):
        return False
    if not eat(cursor, b"null", 4):
        if not eat(cursor, b"[", 1):
            return False
        while True:
            if count[0] == room:
                room = 2 * room + 16
                more = <Entry *>realloc(rows[0], room * sizeof(Entry))
                if more == NULL:
                    return False
                rows[0] = more
            if not scan_entry(cursor, &rows[0][count[0]]):
                return False
            count[0] += 1
            if eat(cursor, b",", 1):
                continue
            if eat(cursor, b"]", 1):
                break
            return False
    if not eat(cursor, b',"summary":', 11) or not scan_object(cursor, summary) or not eat(cursor, b"}", 1):
        return False
    eat(cursor, b"\n", 1)
    return cursor.at == cursor.end


cdef inline bint eat(Cursor *cursor, const char *text, Py_ssize_t length) noexcept nogil:
    if cursor.end - cursor.at < length or memcmp(cursor.at, text, length) != 0:
        return False
    cursor.at += length
    return True


cdef bint scan_entry(Cursor *cursor, Entry *entry) noexcept nogil:
    """Take one entry with its keys in Kopia's order; any of them but type and object may be missing."""
    cdef bint plain = False
    entry.name.start = cursor.at
    entry.name.length = 0
    entry.escaped = False
    entry.mode = entry.size = entry.mtime = entry.uid = entry.gid = 0
    entry.summary.length = 0
    if eat(cursor, b'{"name":"', 9):
        if not scan_text(cursor, &entry.name, &entry.escaped) or not eat(cursor, b',"type":"', 9):
            return False
    elif not eat(cursor, b'{"type":"', 9):
        return False
    if cursor.end - cursor.at < 2 or cursor.at[1] != c'"':
        return False
    entry.kind = cursor.at[0]
    if entry.kind != c"f" and entry.kind != c"d" and entry.kind != c"s":
        return False
    cursor.at += 2
    if eat(cursor, b',"mode":"0', 10) and not scan_mode(cursor, &entry.mode):
        return False
    if eat(cursor, b',"size":', 8) and not scan_number(cursor, &entry.size, MAX_INT64):
        return False
    if eat(cursor, b',"mtime":"', 10) and not scan_time(cursor, &entry.mtime):
        return False
    if eat(cursor, b',"uid":', 7) and not scan_number(cursor, &entry.uid, 0xFFFFFFFF):
        return False
    if eat(cursor, b',"gid":', 7) and not scan_number(cursor, &entry.gid, 0xFFFFFFFF):
        return False
    if not eat(cursor, b',"obj":"', 8) or not scan_text(cursor, &entry.object_id, &plain):
        return False
    if plain or not is_object_id(entry.object_id):
        return False
    if eat(cursor, b',"summ":', 8) and not scan_object(cursor, &entry.summary):
        return False
    return eat(cursor, b"}", 1)


cdef bint scan_text(Cursor *cursor, Span *text, bint *escaped) noexcept nogil:
    """Take a string up to its closing quote; the opening one is taken already."""
    cdef const char *at = cursor.at
    text.start = at
    while at < cursor.end and at[0] != c'"':
        if <uint8_t>at[0] < 0x20:
            return False
        if at[0] == c"\\":
            escaped[0] = True
            at += 1
            if at == cursor.end:
                return False
        at += 1
    if at >= cursor.end:
        return False
    text.length = at - text.start
    cursor.at = at + 1
    return True


cdef bint scan_object(Cursor *cursor, Span *text) noexcept nogil:
    """Take ``null`` (then the span is empty) or an object up to the brace that closes it, whatever is inside."""
    cdef const char *start = cursor.at
    cdef Py_ssize_t depth = 0
    cdef Span ignored
    cdef bint escaped
    cdef char byte
    text.start = start
    text.length = 0
    if eat(cursor, b"null", 4):
        return True
    if cursor.at == cursor.end or cursor.at[0] != c"{":
        return False
    while cursor.at < cursor.end:
        byte = cursor.at[0]
        cursor.at += 1
        if byte == c'"':
            if not scan_text(cursor, &ignored, &escaped):
                return False
        elif byte == c"{":
            depth += 1
        elif byte == c"}":
            depth -= 1
            if depth == 0:
                text.length = cursor.at - start
                return True
    return False


cdef bint scan_number(Cursor *cursor, int64_t *number, int64_t greatest) noexcept nogil:
    """Take a whole number without sign."""
    cdef const char *start = cursor.at
    cdef uint64_t value = 0
    while cursor.at < cursor.end and c"0" <= cursor.at[0] <= c"9" and cursor.at - start < 19:
        value = 10 * value + <uint64_t>(cursor.at[0] - c"0")
        cursor.at += 1
    if cursor.at == start or value > <uint64_t>greatest or (start[0] == c"0" and cursor.at - start > 1):
        return False
    number[0] = <int64_t>value
    # what follows must be the next key or the end: a 20th digit, a point or an exponent is for Python to judge
    return cursor.at < cursor.end and (cursor.at[0] == c"," or cursor.at[0] == c"}")


cdef bint scan_mode(Cursor *cursor, int64_t *mode) noexcept nogil:
    """Take octal digits and the quote behind them."""
    cdef const char *start = cursor.at
    cdef int64_t go = 0
    while cursor.at < cursor.end and c"0" <= cursor.at[0] <= c"7" and cursor.at - start < 10:
        go = 8 * go + (cursor.at[0] - c"0")
        cursor.at += 1
    mode[0] = (go & 0o777) | (go >> 23 & 1) << 11 | (go >> 22 & 1) << 10 | (go >> 20 & 1) << 9
    return eat(cursor, b'"', 1)


cdef inline int64_t digits(const char *at, int count) noexcept nogil:
    """Return a number of so many digits, or a negative one when something else is among them."""
    cdef int64_t value = 0
    cdef int place
    for place in range(count):
        if not c"0" <= at[place] <= c"9":
            return -1000000
        value = 10 * value + (at[place] - c"0")
    return value


cdef bint scan_time(Cursor *cursor, int64_t *ns) noexcept nogil:
    """Take a time in UTC of the years 1678 to 2261 and the quote behind it; others may not fit into 64 bits."""
    cdef const char *at = cursor.at
    cdef int64_t year, month, day, hour, minute, second, fraction = 0, scale = SECOND, days, last
    if cursor.end - at < 21:
        return False
    year, month, day = digits(at, 4), digits(at + 5, 2), digits(at + 8, 2)
    hour, minute, second = digits(at + 11, 2), digits(at + 14, 2), digits(at + 17, 2)
    if at[4] != c"-" or at[7] != c"-" or at[10] != c"T" or at[13] != c":" or at[16] != c":":
        return False
    if not 1678 <= year <= 2261 or not 1 <= month <= 12 or not 0 <= hour <= 23 or not 0 <= minute <= 59:
        return False
    if not 0 <= second <= 59:
        return False
    if month == 2:
        last = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    else:
        last = 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if not 1 <= day <= last:
        return False
    cursor.at = at + 19
    if eat(cursor, b".", 1):
        at = cursor.at
        while cursor.at < cursor.end and c"0" <= cursor.at[0] <= c"9":
            if scale > 1:
                scale = scale // 10
                fraction += scale * (cursor.at[0] - c"0")
            cursor.at += 1
        if cursor.at == at:
            return False
    # Years are counted from 0000-03-01 here, as in put_time.
    if month <= 2:
        year -= 1
        month += 12
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 1 - 719468
    ns[0] = ((days * 24 + hour) * 60 + minute) * 60 + second
    ns[0] = ns[0] * SECOND + fraction
    return eat(cursor, b'Z"', 2)


cdef text_of(Span text, bint escaped):
    """Return the text of a string, or None when only Python can tell."""
    cdef char *buffer
    cdef Py_ssize_t length
    if not escaped:
        return PyUnicode_DecodeUTF8(text.start, text.length, NULL)
    buffer = <char *>malloc(text.length)
    if buffer == NULL:
        raise MemoryError
    try:
        length = unescape(text, buffer)
        return None if length < 0 else PyUnicode_DecodeUTF8(buffer, length, NULL)
    finally:
        free(buffer)


cdef Py_ssize_t unescape(Span text, char *out) noexcept nogil:
    """Write what a string stands for, in UTF-8; return its length, or -1 at surrogates and unknown escapes."""
    cdef const char *at = text.start
    cdef const char *end = text.start + text.length
    cdef char *start = out
    cdef char byte
    cdef uint32_t rune
    cdef int place
    while at < end:
        if at[0] != c"\\":
            out[0] = at[0]
            out += 1
            at += 1
            continue
        byte = at[1]
        at += 2
        if byte == c'"' or byte == c"\\" or byte == c"/":
            out[0] = byte
        elif byte == c"b":
            out[0] = 8
        elif byte == c"f":
            out[0] = 12
        elif byte == c"n":
            out[0] = 10
        elif byte == c"r":
            out[0] = 13
        elif byte == c"t":
            out[0] = 9
        elif byte == c"u" and end - at >= 4:
            rune = 0
            for place in range(4):
                byte = at[place]
                if c"0" <= byte <= c"9":
                    rune = 16 * rune + <uint32_t>(byte - c"0")
                elif c"a" <= byte <= c"f":
                    rune = 16 * rune + <uint32_t>(byte - c"a" + 10)
                else:
                    return -1
            at += 4
            if 0xD800 <= rune <= 0xDFFF:
                return -1
            if rune >= 0x800:
                out[0] = <char>(0xE0 | rune >> 12)
                out[1] = <char>(0x80 | (rune >> 6 & 0x3F))
                out += 2
                rune = 0x80 | (rune & 0x3F)
            elif rune >= 0x80:
                out[0] = <char>(0xC0 | rune >> 6)
                out += 1
                rune = 0x80 | (rune & 0x3F)
            out[0] = <char>rune
        else:
            return -1
        out += 1
    return out - start


cdef summary_of(Span text, make_summary, decode_summary):
    """Return a summary: by its numbers when it has the usual members, else by its JSON."""
    cdef Cursor cursor
    cdef int64_t size, files, symlinks, dirs, latest, failed
    if not text.length:
        return None
    cursor.at, cursor.end = text.start, text.start + text.length
    if (
        eat(&cursor, b'{"size":', 8)
        and scan_number(&cursor, &size, MAX_INT64)
        and eat(&cursor, b',"files":', 9)
        and scan_number(&cursor, &files, MAX_INT64)
        and eat(&cursor, b',"symlinks":', 12)
        and scan_number(&cursor, &symlinks, MAX_INT64)
        and eat(&cursor, b',"dirs":', 8)
        and scan_number(&cursor, &dirs, MAX_INT64)
        and eat(&cursor, b',"maxTime":"', 12)
        and scan_time(&cursor, &latest)
        and eat(&cursor, b',"numFailed":', 13)
        and scan_number(&cursor, &failed, MAX_INT64)
        and eat(&cursor, b"}", 1)
    ):
        return make_summary(size, files, symlinks, dirs, latest, "", failed)
    return decode_summary(PyBytes_FromStringAndSize(text.start, text.length))
