// Making and filling elements. Text from outside goes through textContent only.

const SVG = "http://www.w3.org/2000/svg";

export const element = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Set a node's text, untouched if it is the same: selections and screen readers stay where they are. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Fill a table in place.
 * columns: {name, kind?} each, kind "text" is set to the left. rows: {cells, kind?}; a cell is text or {text, kind, title}.
 */
export function fillTable(table, columns, rows) {
  if (table.tHead === null) {
    table.append(make("thead", {}, make("tr")), make("tbody"));
  }
  const head = table.tHead.rows[0];
  resize(head, columns.length, () => make("th", { scope: "col" }));
  columns.forEach((column, c) => put(head.cells[c], column.name, column.kind));
  table.tHead.hidden = columns.every(({ name }) => name === "");
  const body = table.tBodies[0];
  resize(body, rows.length, () => make("tr"));
  rows.forEach((row, r) => {
    const line = body.rows[r];
    line.className = row.kind ?? "";
    resize(line, row.cells.length, (c) => (c === 0 ? make("th", { scope: "row" }) : make("td")));
    row.cells.forEach((cell, c) => put(line.cells[c], cell.text ?? cell, cell.kind ?? columns[c].kind, cell.title));
  });
}

function put(cell, text, kind = "", title = "") {
  say(cell, text);
  if (cell.className !== kind) cell.className = kind;
  if (cell.title !== title) cell.title = title;
}

export function resize(parent, length, child) {
  while (parent.children.length > length) parent.lastElementChild.remove();
  while (parent.children.length < length) parent.append(child(parent.children.length));
}
