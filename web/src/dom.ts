/** Small helpers around the document. */

type Attributes = Readonly<Record<string, string | number | boolean>>;

/** A new element; attributes that are `false` are left out, `true` means present. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  set(made, attributes);
  made.append(...children);
  return made;
}

/** A new SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
  name: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  set(made, attributes);
  made.append(...children);
  return made;
}

function set(target: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) target.setAttribute(name, value === true ? '' : String(value));
  }
}

/** The element with this id, which the page is known to have. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no #${id}.`);
  return found as T;
}

/** One of the pictures in `index.html`'s sprite. */
export function icon(name: string): SVGSVGElement {
  return svg(
    'svg',
    { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' },
    svg('use', { href: `#icon-${name}` }),
  );
}

/** A button that shows an icon and is called `label`. */
export function iconButton(name: string, label: string, act: () => void): HTMLButtonElement {
  const button = element('button', { type: 'button', class: 'icon-button' }, icon(name));
  button.addEventListener('click', act);
  return rename(button, label);
}

/** Gives a button with an icon another name. */
export function rename(button: HTMLButtonElement, label: string): HTMLButtonElement {
  button.setAttribute('aria-label', label);
  button.title = label;
  return button;
}
