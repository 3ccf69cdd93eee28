"""The names and texts of Qlib's default 158 features, made from their published pattern."""

from __future__ import annotations

from typing import Final

_BAR: Final = {
    "KMID": "($close-$open)/$open",
    "KLEN": "($high-$low)/$open",
    "KMID2": "($close-$open)/($high-$low+1e-12)",
    "KUP": "($high-Greater($open,$close))/$open",
    "KUP2": "($high-Greater($open,$close))/($high-$low+1e-12)",
    "KLOW": "(Less($open,$close)-$low)/$open",
    "KLOW2": "(Less($open,$close)-$low)/($high-$low+1e-12)",
    "KSFT": "(2*$close-$high-$low)/$open",
    "KSFT2": "(2*$close-$high-$low)/($high-$low+1e-12)",
    "OPEN0": "$open/$close",
    "HIGH0": "$high/$close",
    "LOW0": "$low/$close",
    "VWAP0": "$vwap/$close",
}


def _gains(field: str) -> tuple[str, str, str]:
    """Return the sums of rises and falls over `N`, and of both."""
    before = f"Ref({field},1)"
    return (
        f"Sum(Greater({field}-{before},0),N)",
        f"Sum(Greater({before}-{field},0),N)",
        f"(Sum(Abs({field}-{before}),N)+1e-12)",
    )


def _windowed() -> dict[str, str]:
    rise, fall, both = _gains("$close")
    volume_rise, volume_fall, volume_both = _gains("$volume")
    up, down = "Mean($close>Ref($close,1),N)", "Mean($close<Ref($close,1),N)"
    move = "Abs($close/Ref($close,1)-1)*$volume"
    return {
        "ROC": "Ref($close,N)/$close",
        "MA": "Mean($close,N)/$close",
        "STD": "Std($close,N)/$close",
        "BETA": "Slope($close,N)/$close",
        "RSQR": "Rsquare($close,N)",
        "RESI": "Resi($close,N)/$close",
        "MAX": "Max($high,N)/$close",
        "MIN": "Min($low,N)/$close",
        "QTLU": "Quantile($close,N,0.8)/$close",
        "QTLD": "Quantile($close,N,0.2)/$close",
        "RANK": "Rank($close,N)",
        "RSV": "($close-Min($low,N))/(Max($high,N)-Min($low,N)+1e-12)",
        "IMAX": "IdxMax($high,N)/N",
        "IMIN": "IdxMin($low,N)/N",
        "IMXD": "(IdxMax($high,N)-IdxMin($low,N))/N",
        "CORR": "Corr($close,Log($volume+1),N)",
        "CORD": "Corr($close/Ref($close,1),Log($volume/Ref($volume,1)+1),N)",
        "CNTP": up,
        "CNTN": down,
        "CNTD": f"{up}-{down}",
        "SUMP": f"{rise}/{both}",
        "SUMN": f"{fall}/{both}",
        "SUMD": f"({rise}-{fall})/{both}",
        "VMA": "Mean($volume,N)/($volume+1e-12)",
        "VSTD": "Std($volume,N)/($volume+1e-12)",
        "WVMA": f"Std({move},N)/(Mean({move},N)+1e-12)",
        "VSUMP": f"{volume_rise}/{volume_both}",
        "VSUMN": f"{volume_fall}/{volume_both}",
        "VSUMD": f"({volume_rise}-{volume_fall})/{volume_both}",
    }


def alpha158(windows: tuple[int, ...] = (5, 10, 20, 30, 60)) -> tuple[list[str], list[str]]:
    """Return names and expressions, in Qlib's order."""
    named = dict(_BAR)
    for name, text in _windowed().items():
        named.update({f"{name}{window}": _at(text, window) for window in windows})
    return list(named), list(named.values())


def _at(text: str, window: int) -> str:
    return text.replace(",N)", f",{window})").replace(",N,", f",{window},").replace("/N", f"/{window}")
