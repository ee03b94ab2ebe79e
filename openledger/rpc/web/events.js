/** Logs of the chain's own modules, read with the events of schema.js (Solidity's ABI, without tuples). */

import { hex, unhex } from "./payload.js";
import { EVENTS } from "./schema.js";

const WORD = 32;

const eventOf = (log) => (Object.hasOwn(EVENTS, log.topics[0] ?? "") ? EVENTS[log.topics[0]] : null);

/** First topic of the event of this name. */
export const topicOf = (name) => Object.keys(EVENTS).find((topic) => EVENTS[topic].name === name);

/** Name of a log's event, or null where this page does not know it. */
export function nameOf(log) {
  const event = eventOf(log);
  return event && event.address === log.address.toLowerCase() ? event.name : null;
}

/** Fields of a log as [name, type, value], or null. */
export function readLog(log) {
  const event = nameOf(log) ? eventOf(log) : null;
  if (!event) return null;
  try {
    const data = unhex(log.data);
    let topic = 1;
    let at = 0;
    return event.fields.map(([name, type, indexed]) => {
      if (indexed) return [name, type, read(unhex(log.topics[topic++]), 0, 0, type)];
      const value = read(data, 0, at, type);
      at += WORD;
      return [name, type, value];
    });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

const dynamic = (type) => type === "string" || type === "bytes" || type.endsWith("[]");

/** Value of `type` whose head stands at `base + at`. */
function read(data, base, at, type) {
  if (!dynamic(type)) return atom(word(data, base + at), type);
  const start = base + Number(integer(word(data, base + at)));
  const length = Number(integer(word(data, start)));
  if (type.endsWith("[]")) {
    const inner = type.slice(0, -2);
    if (length * WORD > data.length) throw new RangeError("list longer than the data");
    return Array.from({ length }, (_, i) => read(data, start + WORD, i * WORD, inner));
  }
  if (start + WORD + length > data.length) throw new RangeError("text longer than the data");
  const bytes = data.slice(start + WORD, start + WORD + length);
  return type === "string" ? new TextDecoder().decode(bytes) : hex(bytes);
}

function word(data, at) {
  if (!Number.isSafeInteger(at) || at < 0 || at + WORD > data.length) throw new RangeError("outside the data");
  return data.slice(at, at + WORD);
}

const integer = (bytes) => BigInt(hex(bytes));

function atom(bytes, type) {
  if (type === "address") return hex(bytes.slice(12));
  if (type === "bool") return bytes[31] === 1;
  if (type.startsWith("bytes")) return hex(bytes.slice(0, Number(type.slice(5))));
  const value = type.startsWith("int") ? BigInt.asIntN(256, integer(bytes)) : integer(bytes);
  const small = value >= -BigInt(Number.MAX_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
  return small && type !== "uint256" ? Number(value) : value;
}
