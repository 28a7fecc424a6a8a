"""The database of S²-Flow's authors: records as pyarrow 2.0 serialised them, and damaged ones."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.parsing.palette import read_mask
from scripts.s2flow import convert_masks

lmdb = pytest.importorskip("lmdb", reason='not installed: lmdb (pip install ".[s2flow]")')
pytest.importorskip("pyarrow", reason='not installed: pyarrow (pip install ".[s2flow]")')

# pyarrow.serialize of [b"69000"] and of (69000, picture, grey, coloured, (4, 4, 3)), packed: classes 0 to 15 as 4 × 4.
KEYS = (
    "c-oy&OA5j;5S?hORf1$8(q)%jMi9}x3y<IhTnH5edlV1h!UK2+kKjSv=}R)z7%HMulFXZV^XUxHyWAl=L8Kk(lcIz=ltP0D2~0pK"
    "Zpk;y{MulkK?XHvTMOrgQ!p+!`^r)ep8Mnw=UI5W8bZ&4{F-@VLo@@Y3~CiYtrd=8ys6e(a{b!B@Lf06Jo{YI))?0R!oCU45&o;^"
    "h$fD$cY$BSlcG}BO-b_%eN5I6Bi;9!`%?JaRuqkR^2%kSwsbjW&rS7#mD_^d&536uf?f6ky|$<P)^&BXe;x6%C_azkizvQ`;tju@"
    "fRjXhHi`Ix|KW=dcH7%@Zj9kQ&=2wevF13K"
)
RECORD = (
    "c-oayy;1@(5Z>G!aKed)BA$wh|ET!KQBYD?T2NZr$P6<$!;CzFg@rG`8~6Y|0Hp<m4`4y*BTyMP$#TTZjmk2)&1S#dZ?kLwehNqF"
    "S^&PZ(%?Z765!$vg*j*gS}uMa`r<KZ_~IO`Y=GMmona~%BcM!nr~S|q(11&9gaOKPrE++Afzk5&guAQ))DhDmF2OU&E!GW!OSs0k"
    "zo4^r@9tjYf7Uo1jZ@^caSi^#{fd}R?Ve@rp0_cauI!-dSloSUswPWt<c+$jQO&>_BEQ12IIQ4pqW@80oH$GkR}cL!8fP(vQ`GE2"
    "ifUHeAAfKU(eI<j#oMOjl=w75Dkg}DapZ40cY&pH3-O>pljq57U^_C$IGWTn+Mb+3F`E^p{wJo*a!%V%&go7OuW!u1Z{Pyb3DPCf"
    "lRE20eBFp|82*OA(<I#`JuvVCBi|cooAi6sFC`-*eq`K3NXF<>oS6Q^jCgxSKg<|Esfk&ZWg9q4v!CXtkr&i|*=uImP9m9d=h7K("
    "KD*%O7MJqNg_U4+ZN0d$xmDWU+1=YeI4mC>pHxoI&P}`+d4TIa42KYge25n3A?K|S@SU`Tg^<2@7@-8wofu=WwK|5jwRiDbpS}U="
    "Z++e"
)


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))


def database(folder: Path, **values: bytes) -> Path:
    path = folder / "ffhq_lmdb.db"
    with lmdb.open(str(path), subdir=False, map_size=1 << 20) as opened, opened.begin(write=True) as transaction:
        for key, value in {"__keys__": unpacked(KEYS), "69000": unpacked(RECORD), **values}.items():
            transaction.put(key.encode(), value)
    return path


def test_pictures_and_masks_become_files(tmp_path: Path) -> None:
    assert convert_masks.main([str(database(tmp_path)), "-o", str(tmp_path / "out")]) == 0
    assert np.array_equal(read_mask(tmp_path / "out/masks/69000.png"), np.arange(16, dtype=np.uint8).reshape(4, 4))
    picture = np.asarray(Image.open(tmp_path / "out/images/69000.png"))
    assert np.array_equal(picture, np.arange(48, dtype=np.uint8).reshape(4, 4, 3))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"", "is damaged"),
        (lambda data: data[:200], "cannot be read"),
        (lambda data: b"\x00" * 8 + b"\x01" + data[9:], "holds more than numbers and bytes"),
        (lambda data: data.replace(bytes(range(16)), bytes(range(4, 20))), "not of the 19 classes"),
        (lambda data: unpacked(KEYS), "is no record"),
    ],
    ids=["empty", "cut", "arrays", "classes", "another"],
)
def test_a_damaged_record_is_one_sentence(
    change: object, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = database(tmp_path, **{"69000": change(unpacked(RECORD))})  # type: ignore[operator]
    assert convert_masks.main([str(path), "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert reason in said.err and "b'69000'" in said.err and said.out.startswith("0 of 1 faces")


def test_what_is_no_such_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    for path in (tmp_path / "x.db", database(tmp_path, __keys__=unpacked(RECORD)[:40])):
        assert convert_masks.main([str(path), "-o", str(tmp_path / "out")]) == 2
        assert f"{path.name}: " in capsys.readouterr().err
