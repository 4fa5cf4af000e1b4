"""The comparison with the network's own script (``[reference]``), in words: the same on the card and in the report."""

from converters.report.catalogue import pair
from firmware_app.packs.evidence import ReferenceAgreement


def words(agreement: ReferenceAgreement) -> tuple[str, str]:
    """What was compared, and the verdict, in English and Chinese."""
    low, high = agreement.change_ci
    measured = pair(
        "reference_measured",
        script=agreement.script,
        n=agreement.n,
        home=f"{agreement.auc_home:.4f}",
        box=f"{agreement.auc_box:.4f}",
        change=f"{agreement.change:+.4f}",
        low=f"{low:+.4f}",
        high=f"{high:+.4f}",
        allowed=f"{-agreement.allowed:+g}",
    )
    verdict = pair("reference_passed" if agreement.outcome == "passed" else "reference_inconclusive")
    return f"{measured[0]} {verdict[0]}", f"{measured[1]}{verdict[1]}"
