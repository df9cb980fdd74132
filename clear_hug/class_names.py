"""What the short class names of public ECG data sets stand for (PTB-XL's `scp_statements.csv`, Wagner et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SUPERCLASSES = {
    "NORM": "normal ECG",
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}
SUBCLASSES = {
    "AMI": "anterior myocardial infarction",
    "IMI": "inferior myocardial infarction",
    "LMI": "lateral myocardial infarction",
    "PMI": "posterior myocardial infarction",
    "_AVB": "atrioventricular block",
    "CLBBB": "complete left bundle branch block",
    "CRBBB": "complete right bundle branch block",
    "ILBBB": "incomplete left bundle branch block",
    "IRBBB": "incomplete right bundle branch block",
    "IVCD": "non-specific intraventricular conduction disturbance",
    "LAFB/LPFB": "left anterior or posterior fascicular block",
    "WPW": "Wolff-Parkinson-White syndrome",
    "LVH": "left ventricular hypertrophy",
    "RVH": "right ventricular hypertrophy",
    "SEHYP": "septal hypertrophy",
    "LAO/LAE": "left atrial overload or enlargement",
    "RAO/RAE": "right atrial overload or enlargement",
    "ISCA": "anterior ischaemia",
    "ISCI": "inferior ischaemia",
    "ISC_": "non-specific ischaemia",
    "NST_": "non-specific ST change",
}
FORM = {
    "ABQRS": "abnormal QRS",
    "DIG": "digitalis effect",
    "HVOLT": "high QRS voltage",
    "LVOLT": "low QRS voltage",
    "INVT": "inverted T waves",
    "LOWT": "low T waves",
    "TAB_": "T-wave abnormality",
    "NT_": "non-specific T-wave change",
    "NDT": "non-diagnostic T-wave change",
    "LNGQT": "long QT interval",
    "LPR": "long PR interval",
    "PAC": "atrial premature beat",
    "PVC": "premature ventricular beat",
    "PRC(S)": "premature beats",
    "QWAVE": "Q waves",
    "STD_": "ST depression",
    "STE_": "ST elevation",
    "VCLVH": "voltage criteria of left ventricular hypertrophy",
}
RHYTHM = {
    "SR": "sinus rhythm",
    "AFIB": "atrial fibrillation",
    "AFLT": "atrial flutter",
    "STACH": "sinus tachycardia",
    "SBRAD": "sinus bradycardia",
    "SARRH": "sinus arrhythmia",
    "SVARR": "supraventricular arrhythmia",
    "SVTAC": "supraventricular tachycardia",
    "PSVT": "paroxysmal supraventricular tachycardia",
    "BIGU": "bigeminy",
    "TRIGU": "trigeminy",
    "PACE": "paced rhythm",
}
PTBXL = {**RHYTHM, **FORM, **SUBCLASSES, **SUPERCLASSES}


def class_names(source: Mapping[str, Any], classes: Sequence[str]) -> dict[str, str]:
    """Full names of the classes that have one; the same code means different things in different data sets.

    Args:
        source: `kind` of the data set, and whether it is `simulated`.
        classes: short names.
    """
    if source.get("simulated"):
        from clear_hug.simulate.disorders import DISORDER_NAMES

        known = DISORDER_NAMES
    else:
        from clear_hug.data.diagnosis_names import DIAGNOSIS_NAMES

        known = {"ptbxl": PTBXL, **DIAGNOSIS_NAMES}.get(str(source.get("kind")), {})
    return {code: known[code] for code in classes if code in known}


def labelled_name(code: str, names: Mapping[str, str]) -> str:
    """`full name (code)`, or the code alone where no name is known."""
    return f"{names[code]} ({code})" if code in names else code
