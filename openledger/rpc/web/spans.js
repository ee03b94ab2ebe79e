/** A text cut where evidence begins and ends. Places are counted in Unicode code points, as the node counts them. */

/**
 * Pieces of `text` in order: { text, span }, span null between spans. Where spans overlap, the longer one has what both
 * have; what lies outside the text is left out.
 */
export function pieces(text, spans) {
  const points = Array.from(text);
  const owner = new Array(points.length).fill(null);
  for (const span of [...spans].sort((a, b) => b.end - b.begin - (a.end - a.begin))) {
    for (let i = Math.max(span.begin, 0); i < Math.min(span.end, points.length); i++) owner[i] ??= span;
  }
  const found = [];
  points.forEach((point, i) => {
    if (i && owner[i] === owner[i - 1]) found.at(-1).text += point;
    else found.push({ text: point, span: owner[i] });
  });
  return found;
}

/** The first `most` code points of a text, on one line. */
export function brief(text, most = 160) {
  const points = Array.from(String(text).replace(/\s+/g, " ").trim());
  return points.length > most ? `${points.slice(0, most).join("")}…` : points.join("");
}
