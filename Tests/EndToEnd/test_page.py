"""The status page in a real browser: what it shows, to whom, and that it runs nothing of what it is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, Page
from status_page import Json, StatusPage, cluster

# Not committed; for people to look at after a run.
ARTEFACTS = Path(__file__).parents[2] / ".artefacts"
LIVE = "document.documentElement?.dataset.live === 'live'"


@pytest.fixture
def serve() -> Iterator[Server]:
    """Serves statuses, and ends that with the test."""
    made = Server()
    yield made
    for page in made.pages:
        page.close()


class Server:
    """Makes servers of the page."""

    def __init__(self) -> None:
        self.pages: list[StatusPage] = []

    def __call__(self, status: Json) -> StatusPage:
        self.pages.append(StatusPage(status))
        return self.pages[-1]


def shown(browser: Browser, server: StatusPage, **options: int | bool) -> Page:
    """A page that shows the server's status."""
    page = browser.page(**options)  # type: ignore[arg-type]
    page.open(server.url)
    page.wait(LIVE)
    return page


LOOKS = [
    ("light-open", 4, "open", False, 1280),
    ("dark-halted", 9, "halted", True, 1280),
    ("light-recovering-phone", 5, "recovering", False, 390),
    ("dark-degraded-1000-workers", 1_000, "degraded", True, 1280),
]


@pytest.mark.parametrize(("name", "workers", "gate", "dark", "width"), LOOKS)
def test_page_shows_the_cluster(
    browser: Browser, serve: Server, name: str, workers: int, gate: str, dark: bool, width: int
) -> None:
    """Everything an operator looks for is there, nothing overflows, nothing foreign is fetched, no script complains."""
    server = serve(cluster(workers=workers, gate=gate))
    page = shown(browser, server, dark=dark, width=width)
    page.screenshot(ARTEFACTS / f"page-{name}.png")
    text = page.text("main")
    assert page.text("#gate-state").lower() == gate
    assert "coordinator-0" in text and "term 7" in text
    assert ("a person has to acknowledge the alert" in text) == (gate in ("halted", "recovering"))
    for target in server.status["targets"]:
        assert target["name"] in text
    assert page.run("document.querySelectorAll('#map .cell').length") == 256
    assert page.run("document.querySelectorAll('#workers tr').length") == min(workers, 25)
    assert page.run("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the window"
    assert page.run("document.querySelectorAll('.chart .line').length") == 12
    lines = page.run("[...document.querySelectorAll('.chart .line')].map(line => line.getAttribute('d').length)")
    assert min(lines) > 100
    assert page.complaints == []
    assert all(url.startswith(server.url) for url in page.requested), page.requested
    if workers > 25:
        page.run("document.querySelector('#more').click()")
        assert page.run("document.querySelectorAll('#workers tr').length") == workers


@pytest.mark.parametrize(("limit", "alarms"), [(900_000, True), (1_800_000, False), (None, False)])
def test_what_waits_too_long_alarms_by_the_configured_limit(
    browser: Browser, serve: Server, limit: int | None, alarms: bool
) -> None:
    """`audit.ageLimit`, as the coordinator tells it; an older one tells none."""
    status = cluster(gate="halted")
    del status["gate"]["ageLimitMilliseconds"]
    if limit:
        status["gate"]["ageLimitMilliseconds"] = limit
    page = shown(browser, serve(status))
    marked = page.run("[...document.querySelectorAll('#targets .alarm dt')].map(term => term.textContent)")
    assert "in a row" in marked and ("oldest" in marked) == alarms, marked


HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202e</script>'


def test_nothing_that_others_say_becomes_markup(browser: Browser, serve: Server) -> None:
    """Names and reasons come from certificates, receivers and configuration; they stay text."""
    status = cluster(gate="halted")
    status["cluster"] = status["gate"]["reason"] = status["gate"]["alert"] = status["gate"]["episode"] = HOSTILE
    status["leader"]["name"] = status["coordinator"]["name"] = status["coordinator"]["program"] = HOSTILE
    for entry in status["workers"]:
        entry["identity"] += HOSTILE
        entry["reason"] = entry["address"] = HOSTILE
        for health in entry["targets"]:
            health["failure"] = HOSTILE
    for target in status["targets"]:
        target["name"] += HOSTILE
        target["failure"] = target["backend"] = HOSTILE
    server = serve(status)
    page = shown(browser, server)
    assert page.run("window.hacked === undefined && document.querySelectorAll('main img, main script').length === 0")
    assert page.complaints == []
    assert HOSTILE[:30] in page.text("#gate-reason")
    # A standby's pointer to the leader is a link only if it leads to a web address.
    status = cluster()
    status["coordinator"]["role"] = "standby"
    status["shards"] = status["workers"] = []
    status["leader"]["endpoint"] = "javascript:window.hacked=1"
    server.status = status
    server.tell()
    page.wait("!document.querySelector('#standby').hidden")
    assert page.run("document.querySelector('#standby a') === null")
    assert "coordinator-0" in page.text("#standby")
    server.status["leader"]["endpoint"] = "http://10.42.0.1:8080"
    server.tell()
    page.wait("document.querySelector('#standby a')?.href === 'http://10.42.0.1:8080/'")
    assert not page.run("getComputedStyle(document.querySelector('.shards')).display !== 'none'")


def test_changes_come_by_themselves_and_silence_is_seen(browser: Browser, serve: Server) -> None:
    """Live by events; said aloud when the gate changes; stale when nothing comes, and live again after."""
    server = serve(cluster())
    page = shown(browser, server)
    assert page.text("#gate-state") == "Open"
    server.status = cluster(gate="halted")
    server.tell()
    page.wait("document.querySelector('#gate-state').textContent === 'Halted'")
    assert "Halted" in page.run("document.querySelector('#announce').textContent")
    assert page.run("document.title").startswith("Halted")
    page.wait("document.documentElement.dataset.live === 'stale'")
    assert "Nothing was heard for" in page.text("#stale")
    assert "stale" in page.text("#live")
    # It comes back by itself after the server has hung up.
    server.hang_up()
    page.wait(LIVE)
    assert page.run("document.querySelector('#stale').hidden")


def test_without_a_place_among_the_listeners_it_asks(browser: Browser, serve: Server) -> None:
    """32 may listen; the 33rd sees the status all the same."""
    server = serve(cluster())
    server.refuses_listeners = True
    page = shown(browser, server)
    assert page.text("#gate-state") == "Open"
    server.status = cluster(gate="halted")
    page.wait("document.querySelector('#gate-state').textContent === 'Halted'")


def test_keyboard_and_screen_reader_get_everything(browser: Browser, serve: Server) -> None:
    """Landmarks, headings, names of charts and shards; arrow keys on the map; a skip link; visible focus."""
    server = serve(cluster(workers=9, gate="halted"))
    page = shown(browser, server)
    told = page.accessible()
    assert {"banner", "main", "contentinfo", "region", "toolbar", "table", "status"} <= {role for role, _ in told}
    headings = [name.lower() for role, name in told if role == "heading"]
    assert headings[0] == "prod-east" and {"export gate", "targets", "shards by owner", "workers"} <= set(headings)
    images = [name for role, name in told if role in ("img", "image") and name]
    assert any(re.fullmatch(r"Backlog, last 15 minutes: lowest \S+, highest \S+", name) for name in images), images
    shards = [name for role, name in told if name.startswith("Shard ")]
    assert len(shards) == 256
    assert shards[0] == "Shard 0: worker-0 (1), epoch 12"
    assert shards[5].startswith("Shard 5: without an owner for 6.2 s")
    assert all(name for role, name in told if role in ("button", "link")), "a control without a name"

    page.key("Tab")
    assert page.run("document.activeElement.className") == "skip"
    outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.key("Tab")
    page.wait("document.activeElement.matches('#map .cell')")
    page.key("ArrowDown")
    assert page.run("[...document.querySelectorAll('#map .cell')].indexOf(document.activeElement)") == 32
    page.key("ArrowLeft")
    assert page.text("#map-detail").startswith("Shard 31: ")
    page.key("Enter")
    same = page.run("document.querySelectorAll('#map .cell.same').length")
    owner = page.run("document.activeElement.textContent")
    assert same == page.run(
        f"[...document.querySelectorAll('#map .cell')].filter(c => c.textContent === '{owner}').length"
    )
    # What comes next moves neither the focus nor the choice.
    server.tell()
    page.run("new Promise(done => setTimeout(done, 300))")
    assert page.run("[...document.querySelectorAll('#map .cell')].indexOf(document.activeElement)") == 31
    page.key("Tab")
    assert page.run("document.activeElement.matches('#map .cell')") is False, "one Tab leaves the map"


CONTRAST = """
(() => {
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * x + .7152 * y + .0722 * z;
  };
  const parse = color => { const m = color.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const over = ([r, g, b, a], back) => [r, g, b].map((v, i) => v * a + back[i] * (1 - a));
  const backOf = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((back, layer) => over(layer, back), [255, 255, 255]);
  };
  const bad = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    const box = element.getBoundingClientRect();
    if (!own || box.width < 2 || box.height < 2) continue;
    const back = backOf(element);
    const [a, b] = [light(over(parse(getComputedStyle(element).color), back)), light(back)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) bad.push(`${element.tagName}.${element.className} "${element.textContent.slice(0, 30)}" ${ratio.toFixed(2)}`);
  }
  return bad;
})()
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("gate", ["open", "degraded", "halted", "recovering", "unknown"])
def test_everything_can_be_read(browser: Browser, serve: Server, gate: str, dark: bool) -> None:
    """Text against its background: 4.5 to 1 at the least (WCAG 2.2, 1.4.3), in every state."""
    page = shown(browser, serve(cluster(workers=40, gate=gate)), dark=dark)
    assert page.run(CONTRAST) == []


def test_nobody_is_made_to_watch_motion(browser: Browser, serve: Server) -> None:
    """The pulse beside "live" rests for those who asked their system for that, and only for them."""
    server = serve(cluster())
    names = {
        still: shown(browser, server, still=still).run("getComputedStyle(document.querySelector('.dot')).animationName")
        for still in (True, False)
    }
    assert names == {True: "none", False: "beat"}
