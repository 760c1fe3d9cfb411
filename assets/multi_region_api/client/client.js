// Calls the API repeatedly, and shows which Region responds and when that changes.
"use strict";

const MAX_BARS = 60;
const MAX_ROWS = 20; // of the history, and of the switches
const MAX_ATTEMPTS = 6; // of a call
const TIMEOUT_MS = 3000; // of an attempt
const DELAY_MS = 500; // the longest delay before the second attempt; it doubles with each further one
const MIN_SCALE_MS = 500; // a bar of full height, unless a call was slower

const regions = []; // in the order in which they first responded; the position decides on the color
const calls = []; // the latest ones, newest last
const counts = { all: 0, retried: 0, failed: 0 };
let lastRegion = null;
let preferred = { url: SETTINGS.url, until: Infinity }; // the URL of the first attempt

function element(id) {
  return document.getElementById(id);
}

function create(tag, text, className) {
  const created = document.createElement(tag);
  created.textContent = text;
  if (className) created.className = className;
  return created;
}

function prepend(id, item) {
  element(id).prepend(item);
  while (element(id).children.length > MAX_ROWS) element(id).lastElementChild.remove();
}

function formatTime(date) {
  return date.toLocaleTimeString([], { hour12: false });
}

function color(call) {
  if (call.error) return "var(--failed)";
  return `var(--region-${regions.indexOf(call.region) % 4})`;
}

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

class StatusError extends Error {
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

async function fetchRegion(url) {
  const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!response.ok) throw new StatusError(response.status);
  const region = (await response.json())?.region;
  if (typeof region !== "string" || !region) throw new Error("response without a Region");
  return region;
}

function isTransient(error) {
  return ["TimeoutError", "TypeError"].includes(error.name) || error.status === 429 || error.status >= 500;
}

// A page cannot close a connection, and browsers reuse it while its name stays the same. A Region's own name needs another.
function otherUrl(tried) {
  const urls = [SETTINGS.url, ...SETTINGS.regionalUrls];
  const untried = urls.filter((url) => !tried.includes(url));
  const choices = untried.length ? untried : urls;
  return choices[Math.floor(Math.random() * choices.length)];
}

async function callApi() {
  const call = { at: new Date(), region: null, error: null, retried: null, switched: false };
  const started = performance.now();
  if (Date.now() >= preferred.until) preferred = { url: SETTINGS.url, until: Infinity };
  const tried = [];
  for (let url = preferred.url; ; url = otherUrl(tried)) {
    tried.push(url);
    try {
      call.region = await fetchRegion(url);
      if (call.retried) preferred = { url, until: Date.now() + SETTINGS.returnMs };
      break;
    } catch (error) {
      call.error = describeError(error);
      if (!isTransient(error) || tried.length === MAX_ATTEMPTS) break;
      [call.retried, call.error] = [call.error, null];
      await sleep(Math.random() * DELAY_MS * 2 ** (tried.length - 1));
    }
  }
  call.latency = Math.round(performance.now() - started);
  return call;
}

// Browsers hide from a page why a request failed.
function describeError(error) {
  if (error.name === "TimeoutError") return `no response within ${TIMEOUT_MS / 1000} s`;
  if (error.name === "TypeError") return "unreachable, or this page's origin is not allowed: check the url in settings.js";
  return error.message;
}

function record(call) {
  counts.all += 1;
  if (call.retried) counts.retried += 1;
  if (call.error) counts.failed += 1;
  else {
    if (!regions.includes(call.region)) regions.push(call.region);
    call.switched = lastRegion !== null && lastRegion !== call.region;
    if (call.switched) showSwitch(call, lastRegion);
    lastRegion = call.region;
  }
  calls.push(call);
  if (calls.length > MAX_BARS) calls.shift();
}

function showSwitch(call, previousRegion) {
  const item = create("li", "");
  item.append(create("time", formatTime(call.at)), ` ${previousRegion} \u2192 ${call.region}`);
  prepend("switches", item);
  element("no-switch").hidden = true;
}

function showCurrent(call) {
  const current = element("region");
  current.parentElement.style.setProperty("--mark", color(call));
  const text = call.error ? "no response" : call.region;
  if (current.textContent !== text) current.textContent = text; // screen readers announce every assignment
  const last = call.error && lastRegion ? `; last response from ${lastRegion}` : "";
  element("detail").textContent = call.error ? `${call.error}${last}` : `responded in ${call.latency} ms`;
  element("counts").textContent = `${counts.all} calls, ${counts.retried} retried, ${counts.failed} failed`;
}

function showBars() {
  const scale = Math.max(MIN_SCALE_MS, ...calls.map((call) => call.latency));
  const bars = calls.map((call) => {
    const bar = create("li", "", call.switched ? "switched" : "");
    bar.style.setProperty("--mark", color(call));
    bar.style.height = `${Math.max(4, (100 * call.latency) / scale)}%`;
    return bar;
  });
  element("bars").replaceChildren(...bars);
}

function showRow(call) {
  const row = create("tr", "");
  const retry = call.region && call.retried ? ` after a retry: ${call.retried}` : "";
  const result = create("td", `${call.error ?? call.region}${retry}`, "marked");
  result.style.setProperty("--mark", color(call));
  row.append(create("td", formatTime(call.at)), result, create("td", `${call.latency} ms`, "number"));
  prepend("history", row);
}

async function run() {
  element("url").textContent = SETTINGS.url;
  for (;;) {
    const call = await callApi();
    record(call);
    showCurrent(call);
    showBars();
    showRow(call);
    await sleep(SETTINGS.intervalMs);
  }
}

run();
