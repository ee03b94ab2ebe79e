/** Numbers, amounts, times and names as people read them. Amounts come as hex wei and stay exact (BigInt). */

export const OPEN = 10n ** 18n;

/** BigInt of a JSON-RPC quantity ("0x…"), a decimal string, or a number; 0 for nothing. */
export function big(value) {
  if (value === null || value === undefined || value === "" || value === "0x") return 0n;
  try {
    return BigInt(value);
  } catch {
    return 0n;
  }
}

/** A JSON-RPC quantity as a plain number (heights, times, counts). */
export function num(value) {
  return Number(big(value));
}

const group = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

/** 1234567 -> "1 234 567" with narrow spaces. */
export function count(value) {
  return group(big(value).toString());
}

/** Wei as OPEN, cut (never rounded up) after `digits` decimals; tiny amounts stay visible as wei. */
export function amount(value, digits = 6) {
  const wei = big(value);
  const sign = wei < 0n ? "-" : "";
  const absolute = wei < 0n ? -wei : wei;
  const whole = absolute / OPEN;
  const fraction = (absolute % OPEN).toString().padStart(18, "0").slice(0, digits).replace(/0+$/, "");
  if (whole === 0n && fraction === "" && absolute !== 0n) {
    return absolute >= 10n ** 9n ? `${sign}${gwei(absolute)}` : `${sign}${group(absolute.toString())} wei`;
  }
  return `${sign}${group(whole.toString())}${fraction ? "." + fraction : ""} OPEN`;
}

/** Wei as gwei, cut after `digits` decimals. */
export function gwei(value, digits = 9) {
  const wei = big(value);
  const fraction = (wei % 10n ** 9n).toString().padStart(9, "0").slice(0, digits).replace(/0+$/, "");
  return `${group((wei / 10n ** 9n).toString())}${fraction ? "." + fraction : ""} gwei`;
}

/** Exact wei for tooltips. */
export function exact(value) {
  return `${group(big(value).toString())} wei`;
}

/** Parts per million as per cent with four decimals at most. */
export function percent(ppm) {
  return `${(Number(ppm) / 10_000).toFixed(4).replace(/\.?0+$/, "")} %`;
}

/** Seconds as "2 days", "3 h", "90 s": exact, in the largest unit that divides them. */
export function span(seconds) {
  const n = Number(seconds);
  const [size, unit] = [[86_400, "days"], [3600, "h"], [60, "min"]].find(([one]) => n >= 2 * one && n % one === 0) ?? [1, "s"];
  return `${count(n / size)} ${unit}`;
}

/** Part of a whole as per cent, exact to two decimals. */
export function ratio(part, whole) {
  const total = big(whole);
  return total === 0n ? "0 %" : `${(Number((big(part) * 10_000n) / total) / 100).toString()} %`;
}

/** First and last digits of a hash or address. */
export function short(hex, head = 6, tail = 4) {
  const text = String(hex ?? "");
  return text.length > head + tail + 3 ? `${text.slice(0, head)}…${text.slice(-tail)}` : text;
}

/** "12 s ago" of Unix seconds. */
export function ago(seconds, now = Date.now() / 1000) {
  const past = Math.round(now - Number(seconds));
  const distance = Math.abs(past);
  const [size, unit] =
    distance < 90 ? [1, "s"] : distance < 5400 ? [60, "min"] : distance < 172_800 ? [3600, "h"] : [86_400, "days"];
  const text = `${Math.round(distance / size)} ${unit}`;
  return past < 0 ? `in ${text}` : past === 0 ? "now" : `${text} ago`;
}

/** Date and time of Unix seconds, in the reader's own zone. */
export function moment(seconds) {
  const date = new Date(Number(seconds) * 1000);
  return Number.isNaN(date.getTime()) ? "" : date.toLocaleString();
}

/** Bytes as a size. */
export function size(bytes) {
  const n = Number(bytes);
  return n < 1024 ? `${n} B` : n < 1024 ** 2 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1024 ** 2).toFixed(1)} MiB`;
}

/** camelCase or snake_case as words: "heldOutLoss" -> "held out loss". */
export function words(name) {
  return String(name)
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/_/g, " ")
    .toLowerCase();
}
