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

/** Replace what `place` shows; keeps keyboard focus, and which details are open. */
export function show(place, node) {
  const current = place.firstElementChild;
  if (current && current.isEqualNode(node)) return;
  for (const old of place.querySelectorAll("details[id]")) {
    const fresh = node.querySelector(`#${CSS.escape(old.id)}`);
    if (fresh) fresh.open = old.open;
  }
  const focused = document.activeElement;
  const key = focused && place.contains(focused) ? handle(focused) : null;
  place.replaceChildren(node);
  if (!key) return;
  for (const candidate of place.querySelectorAll("a[href], button, summary")) {
    if (handle(candidate) === key) {
      candidate.focus({ preventScroll: true });
      return;
    }
  }
}

function handle(element) {
  return element.getAttribute("href") || element.id || element.parentElement?.id || null;
}
