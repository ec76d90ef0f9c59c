// The tables of the page, from one snapshot.

import { element, fillTable } from "./build.js";
import { count, seconds, share, tokens, words } from "./format.js";

const KINDS = { up: "text good", probing: "text warn", draining: "text warn", ejected: "text bad", down: "text bad" };
const WORKER_COLUMNS = [
  { name: "Worker" },
  { name: "State", kind: "text" },
  { name: "Reason", kind: "text" },
  ...["Running", "Slots", "Waiting", "KV tokens", "KV used", "Step", "Requests", "Errors", "Retries", "Prompt tokens", "Generated tokens"].map((name) => ({ name })),
];

export function fillWorkers(workers) {
  element("no-workers").hidden = workers.length > 0;
  element("workers").hidden = workers.length === 0;
  fillTable(element("workers"), WORKER_COLUMNS, workers.map((worker) => ({ cells: workerCells(worker) })));
}

function workerCells(worker) {
  const used = worker.kv_capacity_tokens ? worker.kv_tokens / worker.kv_capacity_tokens : null;
  return [
    { text: worker.name, title: worker.name },
    { text: worker.state, kind: KINDS[worker.state] ?? "text" },
    { text: worker.state_reason, kind: "reason text", title: worker.state_reason },
    count(worker.running),
    count(worker.slots),
    count(worker.waiting),
    count(worker.kv_tokens),
    { text: share(used), title: capacity(worker) },
    seconds(worker.step_time_s),
    count(worker.requests_total),
    { text: count(worker.errors_total), kind: worker.errors_total > 0 ? "bad" : "" },
    count(worker.retries_total),
    count(worker.prompt_tokens_total),
    count(worker.generated_tokens_total),
  ];
}

function capacity(worker) {
  const source = worker.kv_capacity_source ? ` (${worker.kv_capacity_source})` : "";
  return worker.kv_capacity_tokens ? `of ${count(worker.kv_capacity_tokens)} tokens${source}` : `no cap${source}`;
}

const LATENCIES = [["TTFT", "ttft_s"], ["TPOT", "tpot_s"], ["E2E", "e2e_s"]];

export function fillLatency(latency) {
  const rows = LATENCIES.map(([name, field]) => {
    const { p50, p90, p99, count: n } = latency[field];
    return { cells: [name, seconds(p50), seconds(p90), seconds(p99), count(n)] };
  });
  fillTable(element("latency"), ["", "p50", "p90", "p99", "requests"].map((name) => ({ name })), rows);
}

export function fillQueue(queue, prices) {
  fillPairs("queue", "", [
    ["waiting requests", queue.size_limit === null ? count(queue.requests) : `${count(queue.requests)} of at most ${count(queue.size_limit)}`],
    ["their prompts", tokens(queue.prompt_tokens)],
    ["oldest wait", seconds(queue.oldest_wait_s)],
    ["price of a hole", tokens(prices.hole_kv_tokens)],
    ["price of a slot", seconds(prices.slot_s)],
    ["price of a KV token", seconds(prices.kv_token_s)],
  ]);
}

export function fillTotals(snapshot) {
  fillPairs("refused", "requests", Object.entries(snapshot.refused_total).map(([name, n]) => [words(name), count(n)]));
  fillPairs("responses", "requests", [
    ...Object.entries(snapshot.responses_total).map(([name, n]) => [words(name), count(n)]),
    ["truncated", count(snapshot.truncated_total)],
    ["retries", count(snapshot.retries_total)],
  ]);
  element("processes-card").hidden = snapshot.processes.length < 2;
  fillPairs("processes", "in flight", snapshot.processes.map(({ pid, in_flight }) => [`process ${pid}`, count(in_flight)]));
}

function fillPairs(id, unit, pairs) {
  fillTable(element(id), unit === "" ? [{ name: "" }, { name: "" }] : [{ name: "" }, { name: unit }], pairs.map((cells) => ({ cells })));
}
