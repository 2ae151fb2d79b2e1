"""Archives as bytes, good ones and such as try to get out of their folder."""
import io
import stat
import tarfile
import zipfile


def tar_bytes(*members, mode="w:gz"):
    """members: (name, bytes) for a file, or a TarInfo made with `special`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size, info.mode = len(member[1]), 0o644
            tar.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def special(name, type, link="", mode=0o644):
    """A tar member without bytes: tarfile.SYMTYPE, LNKTYPE, CHRTYPE, FIFOTYPE, DIRTYPE."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = type, link, mode
    return info


def zip_bytes(*members):
    """members: (name, bytes) or (name, bytes, Unix mode)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data, *mode in members:
            info = zipfile.ZipInfo(name)
            info.create_system = 3
            info.external_attr = (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            z.writestr(info, data)
    return out.getvalue()
