// The page: listens to /v1/events, keeps the last 15 minutes, shows the status.

import { ShardMap, bytes, chart, count, draw, drawLoad, isOrphaned, keyed, loadBar, make, micros, rate, say, set, span } from "./draw.js";

const $ = (id) => document.getElementById(id);
const WINDOW = 15 * 60 * 1000;
const FEW = 25;
const CHANGES = 5;

let status = null;
let history = { targets: [], samples: [], intervalMilliseconds: 5000 };
let heardAt = null;
let pace = 1000;
let showsAll = false;
const map = new ShardMap($("map"), $("map-detail"));

// What it says.

const GATE = {
  unknown: ["Unknown", "Nobody knows whether exporting works. Schedulers take this for halted.",
    "M18 18a6 6 0 1 1 9 5c-2 1.300-3 2.500-3 5M24 34v.1"],
  open: ["Open", "Exporting works. Probes are admitted.", "M10 25l10 10L38 14"],
  degraded: ["Degraded", "Exporting has failed and the alert is raised. Probes are still admitted: fail-closed is off.",
    "M24 8L43 40H5ZM24 20v9M24 35v.1"],
  halted: ["Halted", "Exporting has failed. No probe is admitted.", "M16 6h16l10 10v16l-10 10H16L6 32V16ZM18 18l12 12M30 18L18 30"],
  recovering: ["Recovering", "Exporting works again. No probe is admitted yet.", "M40 24a16 16 0 1 1-5-11.500M36 5v8h-8"],
};
const CLOSING = "Exporting has failed. Probes are still admitted until the gate's record is closed or runs out.";
const ROLE = { starting: "starting", standby: "standby", takingOver: "taking over", leader: "leader" };
const WORKER = { live: ["good", "live"], draining: ["warn", "leaving"], shunned: ["bad", "avoided"], lost: ["bad", "lost"] };
const BREAKER = { closed: ["good", "healthy"], halfOpen: ["warn", "trying again"], open: ["bad", "down"] };

const ago = (milliseconds) => `${span(milliseconds)} ago`;

/** Terms with descriptions: [term, description, class or further description]. */
function facts(list, entries) {
  keyed(list, entries, (entry) => entry.term, () => make("div", {}, make("dt"), make("dd")), (element, entry) => {
    set(element, { class: entry.call ? "call" : entry.alarm ? "alarm" : null });
    say(element.children[0], entry.term);
    say(element.children[1], entry.text);
    if (entry.more !== undefined && element.children.length === 2) element.append(make("dd"));
    if (entry.more !== undefined) say(element.children[2], entry.more);
  });
}

function chip(element, [tone, text]) {
  set(element, { class: `chip ${tone}` });
  say(element, text);
}

function showGate({ gate }) {
  const [word, meaning, mark] = GATE[gate.state] ?? GATE.unknown;
  set($("gate"), { "data-state": gate.state });
  set($("gate-mark"), { d: mark });
  say($("gate-state"), word);
  say($("gate-meaning"), gate.state === "degraded" && gate.failClosed ? CLOSING : meaning);
  say($("gate-reason"), gate.reason);
  const entries = [{ term: "for", text: span(gate.sinceMilliseconds) },
    { term: "fail-closed", text: gate.failClosed ? "on" : "off" }];
  if (gate.episode) entries.push({ term: "episode", text: gate.episode });
  if (gate.alert) entries.push({ term: "alert", text: gate.alert });
  if (gate.needsAcknowledgement) entries.push({ term: "to do", text: "a person has to acknowledge the alert", call: true });
  facts($("gate-facts"), entries);
  const changes = (gate.changes ?? []).slice(-CHANGES).reverse();
  keyed($("gate-changes"), changes, (change) => `${change.time} ${change.to}`,
    () => make("li", {}, make("time"), make("span")), (element, change) => {
      say(element.children[0], change.time);
      say(element.children[1], `${change.from} → ${change.to}, term ${change.term}: ${change.cause}`);
    });
}

function showFigures({ leader, coordinator, workers, shards, targets, feed }) {
  const inSession = workers.filter((worker) => worker.state !== "lost").length;
  const bare = shards.filter((shard) => shard.owner === undefined).length;
  const orphaned = shards.filter((shard) => isOrphaned(shard, workers)).length;
  const sum = (get) => targets.reduce((total, target) => total + (get(target) ?? 0), 0);
  const oldest = Math.max(0, ...targets.map((target) => target.oldestMilliseconds ?? 0));
  const entries = [{
    term: "Leader", text: leader?.name ?? "none", alarm: !leader,
    more: leader ? `term ${leader.term}, for ${span(leader.sinceMilliseconds)}, renewed ${ago(leader.renewedMilliseconds)}` : "nobody holds the lease",
  }];
  if (coordinator.role === "leader" || coordinator.role === "takingOver") {
    entries.push(
      { term: "Workers", text: `${count(inSession)} of ${count(workers.length)}`, alarm: inSession < workers.length || inSession === 0,
        more: workers.length === 0 ? "none has come yet" : inSession === workers.length ? "all in session" : `${count(workers.length - inSession)} lost` },
      { term: "Shards", text: `${count(shards.length - bare - orphaned)} of ${count(shards.length)}`, alarm: bare + orphaned > 0,
        more: [bare ? `${count(bare)} without an owner` : "", orphaned ? `${count(orphaned)} of a lost worker` : ""].filter(Boolean).join(", ") || "all have an owner" },
      { term: "Delivered", text: `${rate(sum((target) => target.recordsPerSecond))}/s`,
        more: `${count(sum((target) => target.delivered))} records in this term` },
      { term: "Backlog", text: count(sum((target) => target.backlog)), more: oldest ? `oldest ${span(oldest)}` : "nothing waits" },
      { term: "In hand", text: count(feed.records),
        more: `${bytes(feed.bytes)} of ${bytes(feed.maxBytes)}, ${count(feed.files)} inputs` });
  }
  facts($("figures"), entries);
}

// Targets.

function makeTarget(target) {
  const element = make("article", { class: "target" },
    make("header", {}, make("div", {}, make("h3", {}, target.name), make("p", { class: "muted" })), make("span", { class: "chip" })),
    make("p", { class: "failure", hidden: "" }), make("div", { class: "charts" }), make("dl", { class: "values" }));
  element.charts = [chart("Records/s"), chart("Latency"), chart("Backlog")];
  element.children[2].append(...element.charts);
  return element;
}

function bands(end) {
  const found = [];
  for (const sample of history.samples) {
    if (sample.gate === "open" || sample.gate === "degraded") continue;
    const from = sample.unixMilliseconds - history.intervalMilliseconds;
    if (found.length && from <= found.at(-1)[1]) found.at(-1)[1] = sample.unixMilliseconds;
    else found.push([from, Math.min(sample.unixMilliseconds, end)]);
  }
  return found;
}

function showTarget(element, target, end, shades, ageLimit) {
  const [head, failure, , values] = element.children;
  say(head.children[0].children[1], `${target.backend}, ${target.format}`);
  const [tone, word] = target.reporting === 0 ? ["none", "no word yet"] : BREAKER[target.breaker];
  const partly = target.openBreakers > 0 && target.openBreakers < target.reporting;
  chip(head.children[1], [partly ? "warn" : tone,
    partly ? `down at ${count(target.openBreakers)} of ${count(target.reporting)} workers` : word]);
  set(failure, { hidden: target.failure ? null : "" });
  say(failure, target.failure ?? "");
  const index = history.targets.indexOf(target.name);
  const series = (list) => history.samples.map((sample) => [sample.unixMilliseconds, index < 0 ? null : sample[list][index] ?? null]);
  const common = { bands: shades, end, window: WINDOW, gap: history.intervalMilliseconds * 3 };
  const [speed, latency, backlog] = element.charts;
  draw(speed, { ...common, points: series("recordsPerSecond"), format: rate, now: target.recordsPerSecond });
  draw(latency, { ...common, points: series("latencyMicroseconds"), format: micros, now: target.latencyMicroseconds });
  draw(backlog, { ...common, points: series("backlog"), format: count, now: target.backlog });
  facts(values, [
    { term: "bytes", text: target.bytesPerSecond === undefined ? "–" : `${bytes(target.bytesPerSecond)}/s` },
    { term: "oldest", text: target.oldestMilliseconds === undefined ? "–" : span(target.oldestMilliseconds), alarm: target.oldestMilliseconds >= ageLimit },
    { term: "requests", text: `${count(target.inFlight)} of ${count(target.limit)}` },
    { term: "accepted", text: target.successMilliseconds === undefined ? "never" : ago(target.successMilliseconds) },
    { term: "delivered", text: count(target.delivered) },
    { term: "dead letters", text: count(target.dead), alarm: target.dead > 0 },
    { term: "failures", text: count(target.failures) },
    { term: "in a row", text: count(target.consecutiveFailures), alarm: target.consecutiveFailures > 0 },
  ]);
}

function showTargets({ targets, time, gate }) {
  const end = Date.parse(time);
  const shades = bands(end);
  say($("targets-note"), shades.length ? "Last 15 minutes; shaded while no probe was admitted." : "Charts show the last 15 minutes.");
  const ageLimit = gate.ageLimitMilliseconds ?? Infinity;
  keyed($("targets"), targets, (target) => target.name, makeTarget, (element, target) => showTarget(element, target, end, shades, ageLimit));
}

// Shards and workers.

function showShards({ shards, workers, coordinator }) {
  const isLeader = shards.length > 0;
  document.querySelector(".shards").hidden = !isLeader;
  document.querySelector(".workers").hidden = !isLeader;
  if (!isLeader) return;
  const moving = shards.filter((shard) => shard.state === "revoking").length;
  const bare = shards.filter((shard) => shard.owner === undefined).length;
  const orphaned = shards.filter((shard) => isOrphaned(shard, workers)).length;
  const notes = [`${count(shards.length)} shards`, moving ? `${count(moving)} moving` : "none moving",
    bare ? `${count(bare)} without an owner` : "", orphaned ? `${count(orphaned)} of a lost worker` : ""];
  say($("shards-note"), notes.filter(Boolean).join(", ") + (coordinator.role === "takingOver" ? "; taking over" : ""));
  map.update(shards, workers);
}

function trouble(worker) {
  const sick = worker.targets.filter((target) => target.breaker !== "closed" || target.consecutiveFailures > 0).length;
  return { lost: 3000, shunned: 2000, draining: 1000, live: 0 }[worker.state] + sick;
}

function healthOf(worker, targets) {
  const sick = [];
  worker.targets.forEach((target, index) => {
    const name = targets[index]?.name ?? `target ${index + 1}`;
    if (target.breaker !== "closed") sick.push({ name, chip: [target.breaker === "open" ? "bad" : "warn", `${name} ${BREAKER[target.breaker][1]}`], why: target.failure });
    else if (target.consecutiveFailures > 0) sick.push({ name, chip: ["warn", `${name} failing (${count(target.consecutiveFailures)})`], why: target.failure });
  });
  if (sick.length) return sick;
  return [{ name: "", chip: worker.targets.length ? ["good", "all well"] : ["none", "no word yet"] }];
}

function makeWorker() {
  const load = make("div", { class: "load" });
  load.append(loadBar(), make("span"));
  return make("tr", {}, make("td", { class: "num" }), make("td", { class: "name" }, make("span"), make("small")),
    make("td", {}, make("span", { class: "chip" })), make("td", {}, load), make("td", { class: "num" }), make("td", { class: "num" }),
    make("td", {}, make("div", { class: "healths" })));
}

function showWorker(row, { worker, number }, targets) {
  const [no, name, state, load, hand, heard, health] = row.children;
  say(no, String(number));
  say(name.children[0], worker.identity);
  say(name.children[1], worker.reason || worker.address);
  chip(state.children[0], WORKER[worker.state]);
  drawLoad(load.children[0].children[0], worker.shards, worker.fairShards);
  say(load.children[0].children[1], worker.fairShards > 0 ? `${count(worker.shards)} of ${worker.fairShards.toFixed(1)}`
    : worker.shards > 0 ? `${count(worker.shards)} to move` : "none");
  say(hand, bytes(worker.bytesInHand));
  say(heard, ago(worker.heardMilliseconds));
  const shown = worker.state === "lost" ? [{ name: "", chip: ["none", "not known"] }] : healthOf(worker, targets);
  keyed(health.children[0], shown, (entry) => entry.name, () => make("span", { class: "chip" }), (element, entry) => {
    chip(element, entry.chip);
    set(element, { title: entry.why ?? null });
  });
}

function showWorkers({ workers, targets }) {
  const rows = workers.map((worker, index) => ({ worker, number: index + 1, rank: trouble(worker) }));
  rows.sort((a, b) => b.rank - a.rank || a.number - b.number);
  const sick = rows.filter((row) => row.rank > 0).length;
  say($("workers-note"), `${count(workers.length)} workers, ${sick ? `${count(sick)} with trouble` : "none with trouble"}`);
  keyed($("workers"), showsAll ? rows : rows.slice(0, FEW), (row) => row.worker.identity, makeWorker, (row, entry) => showWorker(row, entry, targets));
  set($("more"), { hidden: rows.length > FEW ? null : "" });
  say($("more"), showsAll ? `Show the first ${FEW} only` : `Show all ${count(rows.length)} workers`);
}

// Who speaks, and whether it still does.

function showSelf({ coordinator, cluster, leader }) {
  say($("cluster"), cluster || "sidereal-export");
  say($("self"), `${coordinator.name}, ${ROLE[coordinator.role]}, up ${span(coordinator.upMilliseconds)}`);
  say($("version"), `sidereal-export ${coordinator.program}.`);
  document.title = `${GATE[status.gate.state]?.[0] ?? "?"} – ${cluster || "sidereal-export"}`;
  const isStandby = coordinator.role === "standby" || coordinator.role === "starting";
  set($("standby"), { hidden: isStandby ? null : "" });
  if (!isStandby) return;
  const link = leader && /^https?:\/\//.test(leader.endpoint) ? make("a", { href: leader.endpoint }, leader.endpoint) : null;
  $("standby").replaceChildren("This coordinator does not lead, so it knows neither workers nor shards. ",
    ...(leader ? [`The leader is ${leader.name}`, link ? ": " : ".", link ?? ""] : ["It knows of no leader."]));
}

let announced = {};
function announce(now) {
  const told = {
    gate: `Export gate: ${GATE[now.gate.state]?.[0] ?? now.gate.state}. ${now.gate.reason}`,
    leader: now.leader ? `Leader: ${now.leader.name}, term ${now.leader.term}.` : "Nobody leads.",
    lost: `${now.workers.filter((worker) => worker.state === "lost").length} workers lost.`,
  };
  const news = Object.keys(told).filter((key) => announced[key] !== undefined && announced[key] !== told[key]).map((key) => told[key]);
  announced = told;
  if (news.length) say($("announce"), news.join(" "));
}

function show(next) {
  status = next;
  heardAt = performance.now();
  showSelf(status);
  showGate(status);
  showFigures(status);
  showTargets(status);
  showShards(status);
  showWorkers(status);
  announce(status);
  tick();
}

function remember(record) {
  const known = history.samples.at(-1)?.number ?? 0;
  const first = record.samples[0]?.number ?? known + 1;
  const goesOn = history.targets.join("\n") === record.targets.join("\n") && first > known;
  const samples = goesOn ? history.samples.concat(record.samples) : record.samples;
  const newest = samples.at(-1)?.unixMilliseconds ?? 0;
  history = { ...record, samples: samples.filter((sample) => newest - sample.unixMilliseconds <= WINDOW) };
}

function tick() {
  const age = heardAt === null ? null : performance.now() - heardAt;
  const isStale = age !== null && age > Math.max(5000, pace * 2.5);
  const state = age === null ? "connecting" : isStale ? "stale" : "live";
  const before = document.documentElement.dataset.live;
  document.documentElement.dataset.live = state;
  say($("live-text"), state === "stale" ? `stale, ${span(age)} old` : state);
  set($("stale"), { hidden: isStale ? null : "" });
  if (isStale) say($("stale"), `Nothing was heard for ${span(age)}. What you see is how it was at ${status.time}; trying again.`);
  if (before !== state && before !== "connecting") say($("announce"), state === "stale" ? "The status is out of date." : "The status is live again.");
}

// Listening.

function listen() {
  const source = new EventSource("/v1/events");
  source.addEventListener("history", (event) => remember(JSON.parse(event.data)));
  source.addEventListener("pace", (event) => { pace = JSON.parse(event.data).milliseconds; });
  source.addEventListener("status", (event) => show(JSON.parse(event.data)));
  // When the server hangs up the browser comes back by itself; when it refuses, it does not.
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) return;
    ask();
    setTimeout(listen, 5000);
  });
}

/** Without a place among the listeners: one answer at a time. */
async function ask() {
  try {
    const answer = await fetch("/v1/status");
    if (!answer.ok) return;
    const document_ = await answer.json();
    if (document_.history) remember(document_.history);
    pace = 5000;
    show(document_);
  } catch { /* Nobody is there: the page says so by its age. */ }
}

$("more").addEventListener("click", () => {
  showsAll = !showsAll;
  showWorkers(status);
});
setInterval(tick, 1000);
listen();
