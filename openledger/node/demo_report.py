"""What the demo says at the end: who earned what, why, and from which of their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openledger.node.demo_view import View, shorten
from openledger.primitives.amounts import PPM, format_amount

SHOWN = 4


def percent(ppm: int) -> str:
    """Parts per million as a percentage."""
    return f"{ppm * 100 / PPM:.2f} %"


def show(view: View, found: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Answers, the table of earnings, the money in all."""
    view.say()
    view.say("[bold]What was asked and answered[/bold]")
    for answer in found["answers"][:SHOWN]:
        view.console.print(f"  {shorten(answer['question'], 70)}", markup=False)
        view.console.print(f"    {shorten(answer['answer'], 100)}", markup=False, style="cyan")
    more = len(found["answers"]) - SHOWN
    view.say(f"  … and {more} more answers" if more > 0 else "")
    view.say()
    because = {entry["contributor"]: entry for entry in found["because"]}
    lines = []
    shares = {address: ppm for address, ppm in found["shares"].items() if address != "unattributed"}
    for address, ppm in sorted(shares.items(), key=lambda item: -item[1]):
        best = because.get(address, {"rows": []})["rows"]
        reasons = "\n".join(f"row {r['row']} ({percent(r['ppm'])}): {shorten(r['text'], 84)}" for r in best[:2])
        who = f"{names.get(address, 'contributor')}\n{address[:8]}…{address[-4:]}"
        lines.append([who, percent(ppm), format_amount(found["paid"].get(address, 0)), reasons])
    rest = "what no row explains, and rows that pulled the other way"
    lines.append(["unattributed", percent(found["shares"]["unattributed"]), "to the pool", rest])
    view.table("Who earned what, and from which of their rows", ["who", "share", "earned", "because of"], lines, (1, 2))
    view.say()
    fee, minted = found["fee"], found["minted"]
    view.say(f"Fees of the claim      {format_amount(fee)}; half of it to the authors, the rest by the chain's rules")
    view.say(f"Minted                 {format_amount(minted)} against verified attribution")
    view.say(f"Burned                 {format_amount(found['burned'])} (part of the fees, and base fees of gas)")
    view.say(
        f"Supply                 {format_amount(found['supply_before'])} -> {format_amount(found['supply_after'])}"
    )
    spent = found["spent"]
    who = names.get(spent["by"], spent["by"])
    earned = format_amount(spent["earned"])
    view.say(f"The loop is closed     {who} took {earned} and spent {format_amount(spent['paid'])} on an answer")
    view.say()
    view.say(f"Claim {found['claim']} is yours to check: openledger proof check {found['claim']}")
    view.say(f"[bold]Done in {found['seconds']['total']:.0f} seconds.[/bold]")
