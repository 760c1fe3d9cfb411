// Calls the API again and again, and shows which region answers and when that changes.
"use strict";

const BARS = 60;
const ROWS = 20; // of the history, and of the switches
const PATIENCE = 10000; // milliseconds until a call counts as failed
const TALLEST = 500; // milliseconds of a bar of full height, unless one was slower

const regions = []; // in the order in which they were seen; the place decides on the colour
const calls = []; // the last ones, newest last
const counts = { all: 0, failed: 0 };
let region = null; // that answered last

function element(id) {
  return document.getElementById(id);
}

function create(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function prepend(id, item) {
  element(id).prepend(item);
  while (element(id).children.length > ROWS) element(id).lastElementChild.remove();
}

function time(date) {
  return date.toLocaleTimeString([], { hour12: false });
}

function colour(call) {
  if (call.error) return "var(--failed)";
  return `var(--region-${regions.indexOf(call.region) % 4})`;
}

async function ask() {
  const call = { at: new Date(), region: null, error: null, switched: false };
  const started = performance.now();
  try {
    const response = await fetch(SETTINGS.url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    call.region = (await response.json())?.region;
    if (typeof call.region !== "string") throw new Error("an answer without a region");
  } catch (error) {
    call.error = reason(error);
  }
  call.latency = Math.round(performance.now() - started);
  return call;
}

// Browsers do not tell a page more of a call that failed than that it did.
function reason(error) {
  if (error.name === "TimeoutError") return `no answer within ${PATIENCE / 1000} s`;
  if (error.name === "TypeError") return "not reached, or this page may not call it: see the url in settings.js";
  return error.message;
}

function remember(call) {
  counts.all += 1;
  if (call.error) counts.failed += 1;
  else {
    if (!regions.includes(call.region)) regions.push(call.region);
    call.switched = region !== null && region !== call.region;
    if (call.switched) showSwitch(call, region);
    region = call.region;
  }
  calls.push(call);
  if (calls.length > BARS) calls.shift();
}

function showSwitch(call, from) {
  const item = create("li", "");
  item.append(create("time", time(call.at)), ` ${from} \u2192 ${call.region}`);
  prepend("switches", item);
  element("no-switch").hidden = true;
}

function showNow(call) {
  const now = element("region");
  now.parentElement.style.setProperty("--mark", colour(call));
  const said = call.error ? "no answer" : call.region;
  if (now.textContent !== said) now.textContent = said; // screen readers say what is set
  const last = call.error && region ? `; last answer from ${region}` : "";
  element("detail").textContent = call.error ? `${call.error}${last}` : `answered in ${call.latency} ms`;
  element("counts").textContent = `${counts.all} calls, ${counts.failed} failed`;
}

function showBars() {
  const tallest = Math.max(TALLEST, ...calls.map((call) => call.latency));
  const bars = calls.map((call) => {
    const bar = create("li", "", call.switched ? "switched" : "");
    bar.style.setProperty("--mark", colour(call));
    bar.style.height = `${Math.max(4, (100 * call.latency) / tallest)}%`;
    return bar;
  });
  element("bars").replaceChildren(...bars);
}

function showRow(call) {
  const row = create("tr", "");
  const answer = create("td", call.error ?? call.region, "marked");
  answer.style.setProperty("--mark", colour(call));
  row.append(create("td", time(call.at)), answer, create("td", `${call.latency} ms`, "number"));
  prepend("history", row);
}

async function run() {
  element("url").textContent = SETTINGS.url;
  for (;;) {
    const call = await ask();
    remember(call);
    showNow(call);
    showBars();
    showRow(call);
    await new Promise((resolve) => setTimeout(resolve, SETTINGS.every));
  }
}

run();
