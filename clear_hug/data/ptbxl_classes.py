"""The classes of PTB-XL's tasks, as its published `scp_statements.csv` makes them."""

from __future__ import annotations

__all__ = ["PTBXL_CLASSES"]

# fmt: off
_FORM = (
    "ABQRS", "DIG", "HVOLT", "INVT", "LNGQT", "LOWT", "LPR", "LVOLT", "NDT", "NST_", "NT_", "PAC", "PRC(S)", "PVC",
    "QWAVE", "STD_", "STE_", "TAB_", "VCLVH",
)
_RHYTHM = (
    "AFIB", "AFLT", "BIGU", "PACE", "PSVT", "SARRH", "SBRAD", "SR", "STACH", "SVARR", "SVTAC", "TRIGU",
)
_DIAGNOSTIC = (
    "1AVB", "2AVB", "3AVB", "ALMI", "AMI", "ANEUR", "ASMI", "CLBBB", "CRBBB", "DIG", "EL", "ILBBB", "ILMI", "IMI",
    "INJAL", "INJAS", "INJIL", "INJIN", "INJLA", "IPLMI", "IPMI", "IRBBB", "ISCAL", "ISCAN", "ISCAS", "ISCIL",
    "ISCIN", "ISCLA", "ISC_", "IVCD", "LAFB", "LAO/LAE", "LMI", "LNGQT", "LPFB", "LVH", "NDT", "NORM", "NST_", "PMI",
    "RAO/RAE", "RVH", "SEHYP", "WPW",
)
PTBXL_CLASSES: dict[str, tuple[str, ...]] = {
    "super": ("CD", "HYP", "MI", "NORM", "STTC"),
    "sub": (
        "AMI", "_AVB", "CLBBB", "CRBBB", "ILBBB", "IMI", "IRBBB", "ISCA", "ISCI", "ISC_", "IVCD", "LAFB/LPFB",
        "LAO/LAE", "LMI", "LVH", "NORM", "NST_", "PMI", "RAO/RAE", "RVH", "SEHYP", "STTC", "WPW",
    ),
    "form": _FORM,
    "rhythm": _RHYTHM,
    "all": tuple(sorted({*_FORM, *_RHYTHM, *_DIAGNOSTIC})),
    "diagnostic": _DIAGNOSTIC,
}
# fmt: on
