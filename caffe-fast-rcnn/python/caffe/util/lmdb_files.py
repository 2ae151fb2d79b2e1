"""Datums in LMDB, Caffe's database of images and features, with the package lmdb."""
import os

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
    lmdb = _lmdb()
    try:
        env = lmdb.open(str(path), readonly=True, lock=False)
    except lmdb.Error as e:
        raise CaffeError("%s: cannot read this LMDB: %s; expected a folder with data.mdb" % (path, e)) from None
    with env, env.begin() as transaction:
        for key, value in transaction.cursor():
            name = os.fsdecode(bytes(key))
            try:
                yield name, caffe_pb2.Datum.FromString(value)
            except DecodeError:
                raise CaffeError("%s: record %s is not a Datum" % (path, name)) from None
