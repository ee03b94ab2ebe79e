/**
 * What is new, as it happens: `eth_subscribe` to newHeads and openledger_claims over the WebSocket. While there is no
 * socket the page polls, and tries to connect again after a pause that grows to ten seconds.
 *
 * Events: "head" (detail: block number), "claims", "state" (detail: "live", "polling" or "offline").
 */
const POLL_MS = 2_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export class Live extends EventTarget {
  #rpc;
  #url;
  #pause = FIRST_PAUSE_MS;
  #poller = null;
  #state = "";
  #head = -1;
  #names = new Map();

  constructor(rpc, url) {
    super();
    this.#rpc = rpc;
    this.#url = url;
  }

  get state() {
    return this.#state;
  }

  start() {
    this.#poll();
    this.#connect();
  }

  #connect() {
    let socket;
    try {
      socket = new WebSocket(this.#url);
    } catch {
      this.#retry();
      return;
    }
    const topics = new Map([
      [1, "newHeads"],
      [2, "openledger_claims"],
    ]);
    socket.addEventListener("open", () => {
      this.#pause = FIRST_PAUSE_MS;
      this.#names.clear();
      for (const [id, topic] of topics) {
        socket.send(JSON.stringify({ jsonrpc: "2.0", id, method: "eth_subscribe", params: [topic] }));
      }
    });
    socket.addEventListener("message", (event) => this.#message(event.data, topics));
    socket.addEventListener("close", () => this.#retry());
  }

  #message(text, topics) {
    let data;
    try {
      data = JSON.parse(text);
    } catch {
      return;
    }
    if (topics.has(data?.id)) {
      if (typeof data.result !== "string") return;
      this.#names.set(data.result, topics.get(data.id));
      if (topics.get(data.id) === "newHeads") this.#live();
    } else if (data?.method === "eth_subscription") {
      const topic = this.#names.get(data.params?.subscription);
      if (topic === "newHeads") this.#arrived(Number(data.params.result?.number));
      else if (topic === "openledger_claims") this.dispatchEvent(new CustomEvent("claims"));
    }
  }

  #live() {
    clearTimeout(this.#poller);
    this.#poller = null;
    this.#become("live");
    // What came between the last poll and the subscription.
    this.#rpc.call("eth_blockNumber").then((height) => this.#arrived(Number(height)), () => undefined);
  }

  #retry() {
    if (this.#poller === null) this.#poll();
    setTimeout(() => this.#connect(), this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  async #poll() {
    this.#poller = setTimeout(() => this.#poll(), POLL_MS);
    try {
      const height = Number(await this.#rpc.call("eth_blockNumber"));
      if (this.#poller !== null) this.#become("polling");
      this.#arrived(height);
    } catch {
      if (this.#poller !== null) this.#become("offline");
    }
  }

  #arrived(height) {
    if (!Number.isSafeInteger(height) || height === this.#head) return;
    const restarted = height < this.#head;
    this.#head = height;
    this.dispatchEvent(new CustomEvent("head", { detail: { height, restarted } }));
  }

  #become(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
