// Where the time went: the service's own stages by its Server-Timing header, and the way there and back.

import {element, length} from './dom.js';

const STAGES = {
  decode: 'decode', queue: 'wait', engine: 'compute', encode: 'write', rest: 'receive', way: 'way and browser',
};

// Return the milliseconds of each stage of a response that took `elapsed` in all.
export function stages(header, elapsed) {
  const times = {};
  for (const part of (header ?? '').split(',')) {
    const [, name, duration] = /^\s*(\w+);dur=([\d.]+)/.exec(part) ?? [];
    if (name) times[name] = Number(duration);
  }
  const {total, ...known} = times;
  if (total === undefined) return {way: elapsed};
  const within = Object.values(known).reduce((sum, each) => sum + each, 0);
  return {...known, rest: Math.max(0, total - within), way: Math.max(0, elapsed - total)};
}

export function timeline(times) {
  const all = Object.values(times).reduce((sum, each) => sum + each, 0) || 1;
  const parts = Object.entries(times).filter(([, each]) => each >= 0.005);
  const strip = element('div', {class: 'timeline', 'aria-hidden': 'true'}, ...parts.map(([name, each]) => {
    const part = element('span', {class: `stage-${name}`});
    part.style.width = length(each / all);
    return part;
  }));
  const list = element('ul', {class: 'stages'}, ...parts.map(([name, each]) => element('li', {},
    element('span', {class: `swatch stage-${name}`, 'aria-hidden': 'true'}), `${STAGES[name] ?? name} ${each.toFixed(1)} ms`)));
  return [element('p', {class: 'tight'}, `${all.toFixed(1)} ms in all`), strip, list];
}
