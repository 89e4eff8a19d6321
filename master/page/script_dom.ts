/**
 * The part of the page's script that makes the document follow a description of it. Text is only ever set as text, so
 * nothing that was reported can become markup; elements stay as long as their description does, and with them the focus.
 */
export const domScript: string = String.raw`
const svgNames = new Set(["svg", "path", "circle"]);

/** Describes an element; "key" in props names it among its siblings. */
function h(tag, props, ...children) {
  return { tag, props: props || {}, children: children.flat(9).filter((one) => one !== null && one !== undefined && one !== false && one !== "") };
}

function make(one) {
  if (typeof one !== "object") return document.createTextNode(String(one));
  const node = svgNames.has(one.tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", one.tag)
    : document.createElement(one.tag);
  node.drakkar = { tag: one.tag, key: one.props.key, props: {} };
  return node;
}

function fits(node, one) {
  if (typeof one !== "object") return node.nodeType === 3;
  const { drakkar } = node;
  return drakkar !== undefined && drakkar.tag === one.tag && drakkar.key === one.props.key;
}

/** Makes the children of an element what is described. */
function render(parent, children) {
  const keyed = new Map();
  for (const node of parent.childNodes) {
    const key = node.drakkar && node.drakkar.key;
    if (key !== undefined) keyed.set(key, node);
  }
  let at = parent.firstChild;
  for (const one of children) {
    const key = typeof one === "object" ? one.props.key : undefined;
    let node = key === undefined ? at : keyed.get(key);
    // What has a name is not used for something else: it may come later.
    if (!node || !fits(node, one)) node = make(one);
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
    if (typeof one === "object") update(node, one);
    else if (node.nodeValue !== String(one)) node.nodeValue = String(one);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function update(node, one) {
  const old = node.drakkar.props;
  for (const name of Object.keys(old)) {
    if (!(name in one.props)) setProp(node, name, null);
  }
  for (const [name, value] of Object.entries(one.props)) {
    if (name === "key" || (old[name] === value && name !== "value" && name !== "checked")) continue;
    setProp(node, name, value);
  }
  node.drakkar.props = one.props;
  if (!("opaque" in one.props)) render(node, one.children);
}

function setProp(node, name, value) {
  if (name.startsWith("on")) {
    node[name] = value;
  } else if (name === "value") {
    if (value !== null && node.value !== value && document.activeElement !== node) node.value = value;
  } else if (name === "checked" || name === "selected") {
    node[name] = value === true;
  } else if (name === "grow") {
    node.style.setProperty("flex-grow", value);
  } else if (name === "opaque") {
    return;
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else {
    node.setAttribute(name, value === true ? "" : value);
  }
}
`;
