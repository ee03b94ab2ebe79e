/** The payload of a native transaction: canonical msgpack of the action's fields, read with the names of schema.js. */

import { ACTIONS, STRUCTS } from "./schema.js";

/** Kind of a native transaction, as the node says it. */
export const actionOf = (tx) => (typeof tx.kind === "string" ? tx.kind : null);

/** Bytes of 0x-hex. */
export function unhex(text) {
  const digits = String(text ?? "0x").slice(2);
  return Uint8Array.from({ length: digits.length >> 1 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** 0x-hex of bytes. */
export const hex = (bytes) => "0x" + Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Fields of an action: a list of [name, type, value]; null where this page does not know the kind or cannot read the
 * payload. A struct's value is { fields: [[name, type, value], …] }.
 */
export function readPayload(kind, input) {
  const action = Object.hasOwn(ACTIONS, kind) ? ACTIONS[kind] : null;
  if (!action) return null;
  try {
    return typed(new Reader(unhex(input)).value(), action.fields);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return null;
    throw error;
  }
}

function typed(list, fields) {
  if (!Array.isArray(list) || list.length !== fields.length) throw new RangeError("another number of fields");
  return fields.map(([name, type], i) => [name, type, cast(list[i], type)]);
}

function cast(value, type) {
  if (type.endsWith("[]")) return value.map((item) => cast(item, type.slice(0, -2)));
  if (Object.hasOwn(STRUCTS, type)) return { fields: typed(value, STRUCTS[type]) };
  if (value instanceof Uint8Array) return type.startsWith("uint") ? BigInt(hex(value)) : hex(value);
  return value;
}

/** The part of msgpack that the chain uses: unsigned integers, text, bytes, booleans and lists. */
class Reader {
  #bytes;
  #view;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  value() {
    const first = this.#number(1);
    if (first <= 0x7f) return first;
    if (first >= 0x90 && first <= 0x9f) return this.#list(first & 15);
    if (first >= 0xa0 && first <= 0xbf) return this.#text(first & 31);
    if (first === 0xc2 || first === 0xc3) return first === 0xc3;
    if (first >= 0xc4 && first <= 0xc6) return this.#take(this.#number(1 << (first - 0xc4)));
    if (first >= 0xcc && first <= 0xce) return this.#number(1 << (first - 0xcc));
    if (first === 0xcf) return this.#big();
    if (first >= 0xd9 && first <= 0xdb) return this.#text(this.#number(1 << (first - 0xd9)));
    if (first === 0xdc || first === 0xdd) return this.#list(this.#number(first === 0xdc ? 2 : 4));
    throw new RangeError(`msgpack byte ${first}`);
  }

  #number(width) {
    const at = this.#at;
    this.#at += width;
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #big() {
    this.#at += 8;
    const value = this.#view.getBigUint64(this.#at - 8);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
  }

  #take(length) {
    this.#at += length;
    if (this.#at > this.#bytes.length) throw new RangeError("cut short");
    return this.#bytes.slice(this.#at - length, this.#at);
  }

  #text(length) {
    return new TextDecoder().decode(this.#take(length));
  }

  #list(length) {
    const items = [];
    for (let i = 0; i < length; i++) items.push(this.value());
    return items;
  }
}
