// Makes one element equal to another with the fewest changes, so that focus, scrolling and
// selected text stay.  Elements with data-key, or an id, are matched by it.

/** Make `old` equal to `fresh`, an element of the same kind. Marks what is new. */
export function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  copyAttributes(old, fresh);
  morphChildren(old, fresh);
}

function copyAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    // Whether a <details> is open is the reader's choice.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

const keyOf = (node) => node?.dataset?.key || node?.id || null;
const isSameKind = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) if (keyOf(child)) keyed.set(keyOf(child), child);
  const hadRows = keyed.size > 0;
  const freshKeys = new Set([...fresh.children].map(keyOf));
  let next = old.firstChild;
  for (const freshChild of [...fresh.childNodes]) {
    // A row that is gone goes first, so that the rows after it need not move.
    while (next && keyOf(next) && !freshKeys.has(keyOf(next))) next = removeAt(next);
    const key = keyOf(freshChild);
    const match = key ? keyed.get(key) : next;
    if (match && isSameKind(match, freshChild)) {
      if (match === next) next = next.nextSibling;
      else old.insertBefore(match, next);
      if (match.nodeType === Node.ELEMENT_NODE) morphElement(match, freshChild);
      else if (match.nodeValue !== freshChild.nodeValue) match.nodeValue = freshChild.nodeValue;
    } else {
      const copy = document.importNode(freshChild, true);
      old.insertBefore(copy, next);
      if (key && hadRows) highlight(copy);
    }
  }
  while (next) next = removeAt(next);
}

function removeAt(node) {
  const rest = node.nextSibling;
  node.remove();
  return rest;
}

function morphElement(old, fresh) {
  const hasNewFigure = "figure" in old.dataset && old.textContent !== fresh.textContent;
  morph(old, fresh);
  if (hasNewFigure) highlight(old);
}

function highlight(element) {
  element.classList.remove("fresh");
  void element.offsetWidth; // restarts the animation
  element.classList.add("fresh");
}
