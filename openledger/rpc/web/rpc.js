/** JSON-RPC to the node that served this page. Calls made in the same turn travel in one batch. */

import { COUNTS } from "./names.js";

const BATCH = 100;
const TIMEOUT_MS = 15_000;
const PATIENT_MS = 120_000;
/** Entries that the node gives at once. */
const PAGE = 500;
/** Answers that are kept. */
const KEPT = 500;
/** The number of the error that says: there is nothing of that name. */
const NOT_FOUND = 103;

/** What the node refused: message, code, and a hint where the node gave one. */
export class RpcError extends Error {
  constructor(error) {
    super(String(error?.message ?? "unknown error"));
    this.code = error?.code;
    this.number = error?.data?.code;
    this.hint = typeof error?.data?.hint === "string" ? error.data.hint : null;
  }
}

/** [result, null] of `ask`, or [null, error] where the node refused: a page can show the rest. */
export async function attempt(ask) {
  try {
    return [await ask(), null];
  } catch (error) {
    if (error instanceof RpcError) return [null, error];
    throw error;
  }
}

/** What never changes is asked for once: the result of `ask` under `key`; null and refusals are not kept. */
export async function remember(cache, key, ask) {
  if (cache.has(key)) return cache.get(key);
  const found = await ask();
  if (found === null) return null;
  if (cache.size > KEPT) cache.clear();
  cache.set(key, found);
  return found;
}

/** What takes long is asked for once, and the page drawn anew when it is there: { done, found, refusal } of `ask` under
 * `key`. A refusal is shown once, and asked again at the next visit. */
export function later({ cache, refresh }, key, ask) {
  const known = cache.get(key);
  if (known) {
    if (known.refusal) cache.delete(key);
    return known;
  }
  const slot = { done: false, found: null, refusal: null };
  const end = (found, refusal) => {
    Object.assign(slot, { done: true, found, refusal });
    refresh();
  };
  cache.set(key, slot);
  ask().then(
    (found) => end(found, null),
    (error) => end(null, error),
  );
  return slot;
}

/** The node cannot be reached, or answers something else than JSON-RPC. */
export class Unreachable extends Error {}

export class Rpc {
  #url;
  #queue = [];
  #next = 1;

  constructor(url) {
    this.#url = url;
  }

  /** Result of one call. Throws RpcError or Unreachable. */
  call(method, ...params) {
    return new Promise((resolve, reject) => {
      if (this.#queue.length === 0) queueMicrotask(() => this.#flush());
      const request = { jsonrpc: "2.0", id: this.#next++, method, params };
      this.#queue.push({ request, resolve, reject });
    });
  }

  /** Result of one call that may take long, in a request of its own. Throws as `call`. */
  patient(method, ...params) {
    return new Promise((resolve, reject) => {
      this.#send([{ request: { jsonrpc: "2.0", id: this.#next++, method, params }, resolve, reject }], PATIENT_MS);
    });
  }

  /** Result of one call, or null where the chain has nothing of that name. */
  async find(method, ...params) {
    try {
      return await this.call(method, ...params);
    } catch (error) {
      if (error instanceof RpcError && error.number === NOT_FOUND) return null;
      throw error;
    }
  }

  /**
   * The newest of a list, the newest first: { entries, count, from }. `count` is the highest number, `from` where the
   * entries begin: there, or at the number `wanted`; they have the `many` numbers from there downwards.
   */
  async newest(method, many = PAGE, wanted = null) {
    const [to, data] = COUNTS[method];
    const count = Number(await this.call("eth_call", { to, data }, "latest"));
    const asked = Number(wanted);
    const from = wanted && asked >= 1 && asked < count ? asked : count;
    const start = Math.max(from - many + 1, 1);
    const entries = count ? await this.call(method, start, from - start + 1) : [];
    return { entries: entries.filter((entry) => entry.id <= from).reverse(), count, from };
  }

  /** Result of one call, or `fallback` where the node refuses it (a read that this node does not serve). */
  async tryCall(fallback, method, ...params) {
    const [found, refusal] = await attempt(() => this.call(method, ...params));
    return refusal ? fallback : found;
  }

  #flush() {
    const queued = this.#queue;
    this.#queue = [];
    for (let start = 0; start < queued.length; start += BATCH) this.#send(queued.slice(start, start + BATCH));
  }

  async #send(entries, most = TIMEOUT_MS) {
    const requests = entries.map((entry) => entry.request);
    try {
      const answers = await this.#post(requests.length === 1 ? requests[0] : requests, most);
      if (answers?.error && !Array.isArray(answers) && answers.id !== requests[0].id) throw new RpcError(answers.error); // of the whole batch
      const byId = new Map((Array.isArray(answers) ? answers : [answers]).map((answer) => [answer?.id, answer]));
      for (const { request, resolve, reject } of entries) {
        const answer = byId.get(request.id);
        if (answer === undefined) reject(new Unreachable("the node left a call unanswered"));
        else if (answer.error) reject(new RpcError(answer.error));
        else resolve(answer.result);
      }
    } catch (error) {
      for (const { reject } of entries) reject(error);
    }
  }

  async #post(body, most) {
    let response;
    try {
      response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(most),
      });
    } catch {
      throw new Unreachable("the node does not answer");
    }
    try {
      return await response.json();
    } catch {
      throw new Unreachable(`the node answered with HTTP ${response.status} and no JSON`);
    }
  }
}
