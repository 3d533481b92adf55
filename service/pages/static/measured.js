// What a measured model tells: its layers by the time they take, what batches save, and what decoding adds.

import {bar, element} from './dom.js';

const LAYERS = 12;
const ms = number => `${number < 1 ? number.toFixed(3) : number.toFixed(1)} ms`;

export function measurements(found) {
  const layers = found.layers.toSorted((one, other) => other.milliseconds - one.milliseconds);
  const all = layers.reduce((sum, each) => sum + each.milliseconds, found.rest_milliseconds) || 1;
  const rows = layers.slice(0, LAYERS).map(({name, milliseconds, output_bytes: bytes}) =>
    row(name, milliseconds, all, `${(bytes / 1024).toLocaleString('en', {maximumFractionDigits: 0})} KiB`));
  const rest = layers.slice(LAYERS).reduce((sum, each) => sum + each.milliseconds, found.rest_milliseconds);
  const decode = (100 * found.decode_share).toFixed(0);
  return [
    element('p', {}, `${found.engine.name} in ${found.engine.precision}: ${ms(found.milliseconds)} for one image, and `
      + `${ms(found.decode_milliseconds)} to decode a drawn one (${decode} % of both).`),
    layers.length ? table('Layers on one thread', ['Layer', 'Time', '', 'Output'], [...rows, row('all else', rest, all, '')]) : '',
    table('Batches', ['Images', 'Time', 'Per image'], found.batches.map(each =>
      cells(`${each.images}`, [ms(each.milliseconds), ms(each.per_image)]))),
  ];
}

const row = (name, milliseconds, all, output) => cells(name, [ms(milliseconds), bar(milliseconds / all), output]);

const cells = (name, others) => element('tr', {}, element('th', {scope: 'row'}, name),
  ...others.map(each => element('td', {class: typeof each === 'string' ? 'n' : 'wide'}, each)));

const table = (caption, heads, rows) => element('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption},
  element('table', {}, element('caption', {}, caption), element('thead', {}, element('tr', {},
    ...heads.map((head, at) => (head ? element('th', {scope: 'col', class: at ? 'n' : null}, head) : element('td', {}))))),
  element('tbody', {}, ...rows)));
