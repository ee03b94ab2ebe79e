/**
 * Building the page. Chain data is written by strangers, so every piece of text becomes a text node: there is no place in
 * these files that parses a string as HTML, and links lead to this page's own routes only.
 */

/**
 * An element. `props` are attributes; `on` is a map of event listeners, `style` a map of CSS properties (set through the
 * object model, as the content security policy allows). Children are nodes, text, numbers, or lists; null and false are
 * left out.
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** An SVG element, by the same rules. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "style") {
      for (const [property, text] of Object.entries(value)) node.style.setProperty(property, String(text));
    } else if (name === "href") {
      node.setAttribute("href", safeLink(value));
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) append(node, child);
    else node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Only routes of this page are links; anything else leads nowhere. */
function safeLink(value) {
  return String(value).startsWith("#/") ? String(value) : "#/";
}

/** Address of a route: parts are escaped, so a datanet's name cannot leave its place. */
export function route(...parts) {
  return "#/" + parts.map((part) => encodeURIComponent(String(part))).join("/");
}

/** Show a page. */
export function show(place, node) {
  place.replaceChildren(node);
}

/**
 * Make what `place` shows like `node`, changing only what differs: what somebody types, has opened, scrolled or reached by
 * keyboard stays. So listeners read what they need from the page, and what a person fills in is marked `data-keep`.
 */
export function renew(place, node) {
  const current = place.firstElementChild;
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const target = focused?.getAttribute("href");
  if (current && place.childNodes.length === 1 && alike(current, node)) liken(current, node);
  else place.replaceChildren(node);
  if (!target || (focused.isConnected && focused.getAttribute("href") === target)) return;
  const moved = [...place.querySelectorAll("a[href]")].find((link) => link.getAttribute("href") === target);
  moved?.focus({ preventScroll: true });
}

/** A row of a table is the one whose first link leads to the same; other elements may have an id. */
const key = (node) => node.id || (node.nodeName === "TR" && node.querySelector("a[href]")?.getAttribute("href")) || null;

const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName && key(one) === key(other);

function liken(old, fresh) {
  if (old.isEqualNode(fresh) || old.dataset?.keep !== undefined) return;
  if (old.nodeType === Node.TEXT_NODE) {
    old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const known = new Map([...old.children].filter(key).reverse().map((child) => [key(child), child]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const name = key(wanted);
    const same = name ? known.get(name) : at && alike(at, wanted) ? at : null;
    known.delete(name);
    if (!same) old.insertBefore(wanted, at);
    else if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    if (same) liken(same, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
