/** Blobs of the node that served this page. */

import { remember } from "./rpc.js";

/** Larger ones are not read into a page. */
const MOST_BYTES = 4 * 1024 ** 2;

const pathOf = (name) => `blobs/${String(name).replace(/^0x/, "")}`;

/** Bytes of a blob; null where it is not here. */
export const blobSize = ({ cache }, name) =>
  remember(cache, `size ${name}`, async () => {
    const answer = await fetch(pathOf(name), { method: "HEAD" }).catch(() => null);
    const size = answer?.ok ? Number(answer.headers.get("content-length")) : NaN;
    return Number.isFinite(size) ? size : null;
  });

async function textOf(context, name) {
  const size = await blobSize(context, name);
  if (size === null || size > MOST_BYTES) return null;
  try {
    const answer = await fetch(pathOf(name));
    return answer.ok ? await answer.text() : null;
  } catch {
    return null;
  }
}

/** A blob that is a JSON object: a training receipt, a model's manifest; null where it is not here, or is none. */
export const jsonBlob = (context, name) =>
  remember(context.cache, `json ${name}`, async () => {
    try {
      const found = JSON.parse(await textOf(context, name));
      return typeof found === "object" ? found : null;
    } catch {
      return null;
    }
  });

/** Lines of a blob, from number `start` on, `many` at most; null where it is not here, or is too large for a page. */
export const linesOf = (context, name, start, many) =>
  remember(context.cache, `lines ${name} ${start} ${many}`, async () => {
    const text = await textOf(context, name);
    return text === null ? null : text.split("\n").slice(start, start + many);
  });
