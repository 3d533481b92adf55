// Elements made of text, never of markup: what a label or a file is called cannot become an element.

const SVG = 'http://www.w3.org/2000/svg';

export const find = (selector, within = document) => within.querySelector(selector);

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child != null));
  return node;
}

export const percent = score => `${(100 * score).toFixed(1)} %`;
// The same as CSS has it.
export const length = share => `${(100 * share).toFixed(2)}%`;
export const count = (number, one, many = `${one}s`) =>
  `${number.toLocaleString('en')} ${number === 1 ? one : many}`;

// A bar whose length is a share of 0..1. The policy of the page allows no style in markup, but one set here.
export function bar(share) {
  const fill = element('span', {class: 'fill'});
  fill.style.width = length(share);
  return element('span', {class: 'bar', 'aria-hidden': 'true'}, fill);
}

// Tabs of which one is chosen, by mouse or arrow keys.
export function tabs(all, chosen) {
  const choose = tab => {
    for (const each of all) {
      each.setAttribute('aria-selected', String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
    }
    chosen(tab);
  };
  for (const [index, tab] of all.entries()) {
    tab.addEventListener('click', () => choose(tab));
    tab.addEventListener('keydown', event => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      const next = all[(index + step + all.length) % all.length];
      choose(next);
      next.focus();
    });
  }
}
