"""Datums in LMDB, Caffe's database of images and features, with the package lmdb."""
import os
import weakref

from google.protobuf.message import DecodeError

from ..common import CaffeError
from ..proto import caffe_pb2

_MAP_SIZE = 1 << 40     # largest size of a database in bytes; this reserves no memory or disk space
_BATCH = 1000           # records of a transaction, as Caffe's tools write them


def _lmdb():
    try:
        import lmdb
    except ImportError:
        raise CaffeError("LMDB needs the package lmdb, which is not installed; pip install lmdb") from None
    return lmdb


class DatumWriter:
    """with DatumWriter(path) as db: db.put(key, datum), at a new `path`.  Records are kept in order of their keys."""

    def __init__(self, path):
        self._lmdb, self._path, self._waiting = _lmdb(), str(path), []
        if os.path.exists(self._path):
            raise CaffeError("%s exists already; remove it, or give another name for the LMDB" % path)
        try:
            self._env = self._lmdb.open(self._path, map_size=_MAP_SIZE)
        except self._lmdb.Error as e:
            raise CaffeError("%s: cannot make this LMDB: %s" % (path, e)) from None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._commit()
        self._env.close()

    def put(self, key, datum):
        """Write a Datum under `key`, a str."""
        self._waiting.append((os.fsencode(key), datum.SerializeToString()))
        if len(self._waiting) == _BATCH:
            self._commit()

    def _commit(self):
        try:
            with self._env.begin(write=True) as transaction:
                for key, value in self._waiting:
                    transaction.put(key, value)
        except self._lmdb.BadValsizeError:
            longest = max((key for key, _value in self._waiting), key=len)
            raise CaffeError("%s: a key of LMDB has at most %d bytes, %s has %d; use shorter file names"
                             % (self._path, self._env.max_key_size(), os.fsdecode(longest), len(longest))) from None
        except self._lmdb.Error as e:
            raise CaffeError("%s: cannot write: %s; see that the disk has room" % (self._path, e)) from None
        self._waiting = []


def read_datums(path):
    """Yield (key, Datum) of every record of the LMDB at `path`, in order of the keys."""
    reader = DatumReader(path)
    for index in range(reader.count):
        yield reader.record(index)


class DatumReader:
    """The records of the LMDB at `path`, as they are now: count, record(index).  Raises CaffeError without records."""

    def __init__(self, path):
        self._path, self._database = str(path), _database(path)
        self._transaction = self._database.env.begin()
        self._cursor, self._index = self._transaction.cursor(), 0
        self.count = self._transaction.stat(self._database.env.open_db(txn=self._transaction))["entries"]
        if not self._cursor.first():
            raise CaffeError("%s: holds no records" % path)

    def record(self, index):
        """(key, Datum) of record `index`, in order of the keys; the next one is found fastest."""
        if index < self._index:
            self._cursor.first()
            self._index = 0
        while self._index < index:
            self._cursor.next()
            self._index += 1
        key = os.fsdecode(bytes(self._cursor.key()))
        try:
            return key, caffe_pb2.Datum.FromString(bytes(self._cursor.value()))
        except DecodeError:
            raise CaffeError("%s: record %s is not a Datum" % (self._path, key)) from None


class _Database:
    """An open LMDB; closed with the last reader of it."""

    def __init__(self, path):
        lmdb = _lmdb()
        try:
            self.env = lmdb.open(path, readonly=True, lock=False)
        except lmdb.Error as e:
            raise CaffeError("%s: cannot read this LMDB: %s; expected a folder with data.mdb, which this process has "
                             "not opened by the package lmdb itself" % (path, str(e).rstrip("."))) from None


# A process may open an LMDB once; its readers share it.  By the file, as another one may take its name.
_OPEN: weakref.WeakValueDictionary[tuple, _Database] = weakref.WeakValueDictionary()


def _database(path):
    try:
        file = os.stat(os.path.join(path, "data.mdb"))
    except OSError:
        return _Database(str(path))             # which says what is wrong
    key = file.st_dev, file.st_ino
    database = _OPEN.get(key)
    if database is None:
        database = _OPEN[key] = _Database(str(path))
    return database
