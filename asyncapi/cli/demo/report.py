"""The demo's page: one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from asyncapi._version import __version__
from asyncapi.cli.demo.account import Account, Row
from asyncapi.cli.demo.svg import Plot
from asyncapi.cli.demo.watch import End, Sample, Watch
from asyncapi.cli.reporters import seconds as duration

__all__ = ["page"]

_STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1d2329;--soft:#69727d;--rule:#e3e5e8;
--flight:#2f7ed8;--queue:#d99a1b;--good:#2a9d5c;--bad:#d64545;--open:#f6cfcf;--half:#fbe9b7}
@media(prefers-color-scheme:dark){:root{--bg:#14171a;--card:#1c2126;--ink:#e6e9ec;--soft:#98a2ad;--rule:#313840;
--flight:#63a8f2;--queue:#e5b14c;--good:#4cc283;--bad:#f07575;--open:#54282b;--half:#4d4320}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}
h1{font-size:26px;margin:0}h2{font-size:18px;margin:40px 0 12px}h3{font-size:15px;margin:0 0 2px}
p{margin:6px 0}.soft,figcaption{color:var(--soft);font-size:13px}
.heads{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin:20px 0}
.head,figure{background:var(--card);border:1px solid var(--rule);border-radius:10px}
.head{padding:12px 14px}.head b{display:block;font-size:24px}
b,time,table{font-variant-numeric:tabular-nums}.ok{color:var(--good)}.wrong{color:var(--bad)}
ol{list-style:none;padding:0;margin:0;columns:2 420px}
li{break-inside:avoid;padding:2px 0 2px 58px;text-indent:-58px}
time{color:var(--soft);display:inline-block;width:58px;text-indent:0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}
th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--rule);white-space:nowrap}
th{font-weight:600;font-size:13px}th:first-child,td:first-child{text-align:left}tr.sum td{font-weight:700}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:14px}
figure{margin:0;padding:12px 14px}svg{display:block;width:100%;height:auto;margin-top:4px}
.tick{font-size:9px;fill:var(--soft);text-anchor:middle}.side{text-anchor:end}.axis{stroke:var(--rule)}
.flight{fill:var(--flight);opacity:.75}.waiting{fill:var(--queue);opacity:.75}
.limit{stroke:var(--ink);stroke-dasharray:3 3;opacity:.5}
.open{fill:var(--open)}.half-open{fill:var(--half)}.good{fill:var(--good);opacity:.55}.poor{fill:var(--bad)}
.key{display:inline-block;width:10px;height:10px;border-radius:3px;margin:0 4px 0 12px}
"""


def page(found: Account, watch: Watch, seed: int) -> str:
    """The whole page."""
    seconds = max((s[-1].at for s in watch.samples.values() if s), default=1.0)
    body = "".join(
        (
            _headline(found, seconds, seed),
            "<h2>What happened</h2>",
            _scenes(watch),
            "<h2>Every call, counted three times</h2>",
            _table(found),
            "<h2>The endpoints over time</h2>",
            _legend(),
            f'<div class="plots">{"".join(_figures(found, watch, seconds))}</div>',
            "<h2>Events</h2>",
            _notes(watch),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>asyncapi demo</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _headline(found: Account, seconds: float, seed: int) -> str:
    t = found.total
    numbers = (
        (t.asked, "calls asked for"),
        (t.answered, "answered"),
        (t.refused, "refused before sending"),
        (t.failed, "failed"),
        (t.sent, "requests sent"),
        (t.retries, "of them retries"),
        (sum(found.faults.values()), "spoilt by the services"),
    )
    cards = "".join(f'<div class="head"><b>{n:,}</b>{escape(text)}</div>' for n, text in numbers)
    if found.balanced:
        kind, verdict = (
            "ok",
            "Every call has one end, every request is on both sides, every answer fits its question.",
        )
    else:
        kind = "wrong"
        verdict = "The counts don't agree: this is a bug, please report it with this page."
    return (
        f"<h1>asyncapi demo</h1><p class='soft'>version {__version__}, seed {seed}, {seconds:.1f} s against "
        f"pretend services on this machine</p><div class='heads'>{cards}</div><p class='{kind}'>{verdict}</p>"
    )


def _scenes(watch: Watch) -> str:
    items = "".join(f"<li><time>{scene.at:.1f} s</time>{escape(scene.text)}</li>" for scene in watch.scenes)
    return f"<ol>{items}</ol>"


def _table(found: Account) -> str:
    names = (
        "endpoint", "asked", "answered", "failed", "refused", "sent", "retries", "spared", "received",
        "breaker opened", "p50", "p95", "",
    )  # fmt: skip
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(_row(row, "") for row in found.rows) + _row(found.total, "sum")
    faults = ", ".join(f"{kind} {count}" for kind, count in found.faults.items()) or "none"
    errors = ", ".join(f"{kind} {count}" for kind, count in found.errors.items()) or "none"
    statuses = ", ".join(f"{status} {count}" for status, count in found.statuses.items())
    waits = ", ".join(f"{name} {duration(wait)}" for name, wait in found.waits.items())
    return (
        f"<div class='wide'><table><tr>{head}</tr>{rows}</table></div>"
        "<p class='soft'>asked, answered, failed, refused: counted by the callers. sent, retries, spared: "
        "by the client; spared are requests that others carried along. received: by the services. "
        "p50, p95: of a request.</p>"
        f"<p>Faults by kind: {escape(faults)}. Answers by status: {escape(statuses)}.</p>"
        "<p>What callers were told instead of an answer: "
        f"{escape(errors)}.</p><p>Median wait in the queue by priority: {escape(waits)}.</p>"
        f"<p>Answers checked against their questions: {found.right:,} of {found.checked:,} fit.</p>"
    )


def _row(row: Row, kind: str) -> str:
    numbers = (
        row.asked, row.answered, row.failed, row.refused, row.sent, row.retries, row.spared, row.received,
        row.opened,
    )  # fmt: skip
    cells = "".join(f"<td>{number:,}</td>" for number in numbers)
    mark = '<td class="ok">✓</td>' if row.balanced else '<td class="wrong">✗</td>'
    times = f"<td>{duration(row.p50_s)}</td><td>{duration(row.p95_s)}</td>"
    return f'<tr class="{kind}"><td>{escape(row.name)}</td>{cells}{times}{mark}</tr>'


def _legend() -> str:
    words = (
        ("flight", "in flight"),
        ("queue", "queued"),
        ("good", "answered"),
        ("bad", "refused or failed"),
        ("open", "breaker open"),
        ("half", "half-open"),
    )
    keys = "".join(f'<span class="key" style="background:var(--{var})"></span>{text}' for var, text in words)
    return f'<p class="soft">{keys}</p>'


def _figures(found: Account, watch: Watch, seconds: float) -> Iterator[str]:
    for row in found.rows:
        samples, ends = watch.samples.get(row.name, []), watch.ends.get(row.name, [])
        yield (
            f"<figure><h3>{escape(row.name)}</h3>"
            f"<figcaption>in flight and queued</figcaption>{_load(samples, seconds, row.name)}"
            f"<figcaption>time of each call, from asking to its end</figcaption>"
            f"{_latency(ends, samples, seconds, row.name)}</figure>"
        )


def _load(samples: Sequence[Sample], seconds: float, name: str) -> str:
    top = max([5, *(s.waiting for s in samples), *(s.in_flight for s in samples)])
    plot = Plot(seconds, top)
    _breaker(plot, samples, seconds)
    plot.area([(s.at, s.waiting) for s in samples], "waiting")
    plot.area([(s.at, s.in_flight) for s in samples], "flight")
    plot.line(5, "limit")
    return plot.render(f"{name}: calls in flight and in the queue over time")


def _latency(ends: Sequence[End], samples: Sequence[Sample], seconds: float, name: str) -> str:
    plot = Plot(seconds, max([1.0, *(end.total_s for end in ends)]), unit=" s")
    _breaker(plot, samples, seconds)
    plot.dots(((e.at, e.total_s) for e in ends if e.outcome == "ok"), "good")
    plot.dots(((e.at, e.total_s) for e in ends if e.outcome != "ok"), "poor")
    return plot.render(f"{name}: duration of each call over time")


def _breaker(plot: Plot, samples: Sequence[Sample], seconds: float) -> None:
    """Stripes where the breaker was not closed."""
    begun = 0
    for i, sample in enumerate(samples):
        last = i + 1 == len(samples)
        if not last and samples[i + 1].breaker == sample.breaker:
            continue
        if sample.breaker != "closed":
            end = seconds if last else samples[i + 1].at
            plot.band(samples[begun].at, end, sample.breaker, f"breaker {sample.breaker}")
        begun = i + 1


def _notes(watch: Watch) -> str:
    items = "".join(
        f"<li><time>{n.at:.1f} s</time><b>{escape(n.endpoint)}</b> {escape(n.text)}</li>" for n in watch.notes
    )
    return f"<ol>{items}</ol>"
