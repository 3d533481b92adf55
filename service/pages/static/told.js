// An answer in words, bars and tables.

import {bar, count, element, percent} from './dom.js';
import {colour} from './picture.js';

const ROWS = 100;

// Return an answer as a sentence.
export function sentence(answer) {
  if (answer.instances) return `${count(answer.instance_count, 'object')}.`;
  if (answer.classes) {
    const parts = answer.classes.slice(1).map(each => `${each.label} ${percent(each.fraction)}`);
    return `Of the image: ${parts.join(', ')}.`;
  }
  if (answer.counts) {
    const kinds = Object.entries(answer.counts).map(([label, number]) => `${number} ${label}`);
    return kinds.length ? `Found: ${kinds.join(', ')}.` : 'No object of at least this score.';
  }
  if (answer.labels) {
    const shown = answer.labels.map(each => `${each.label} (${percent(each.score)})`);
    return shown.length ? `Shows ${shown.join(', ')}.` : 'Shows none of the labels it knows.';
  }
  if (!answer.label) return `Unsure: the best label has ${percent(answer.score)}.`;
  const group = answer.group && answer.group !== answer.label ? `, a ${answer.group}` : '';
  return `${answer.label}${group} (${percent(answer.score)}).`;
}

// Return the elements that tell an answer of that model.
export function told(model, answer) {
  const parts = [];
  if (answer.group !== undefined) parts.push(group(answer));
  if (answer.top) parts.push(scores(answer.labels && answer.labels.length <= answer.top.length ? answer.labels : answer.top));
  else if (answer.classes) parts.push(legend(answer.classes));
  else if (!answer.objects) parts.push(scores([{label: answer.label ?? 'unsure', score: answer.score}]));
  if (answer.objects) parts.push(table(answer.objects, ['score', 'box']));
  if (answer.instances) parts.push(table(answer.instances, ['score', 'area', 'box'], answer.instance_count));
  if (answer.familiarity !== undefined && model.familiarity) parts.push(familiarity(model, answer.familiarity));
  return parts;
}

const line = (label, share, words, swatch) => element('li', {},
  element('span', {class: 'label'}, ...(swatch ? [swatch] : []), label), bar(share), element('span', {class: 'score'}, words));

const scores = ranked => ranked.length
  ? element('ul', {class: 'bars', 'aria-label': 'Scores'}, ...ranked.map(({label, score}) => line(label, score, percent(score))))
  : element('p', {class: 'faint'}, 'No label reaches this score.');

const group = ({group: name, group_score: score}) => element('ul', {class: 'bars groups', 'aria-label': 'Group'},
  line(name ?? 'unsure', score, percent(score)));

function legend(classes) {
  return element('ul', {class: 'bars', 'aria-label': 'Share of the image'}, ...classes.map(each => {
    const swatch = element('span', {class: 'swatch', 'aria-hidden': 'true'});
    if (each.index) swatch.style.background = colour(each.index);
    return line(each.label, each.fraction, percent(each.fraction), swatch);
  }));
}

const CELLS = {
  score: each => each.score.toFixed(3),
  area: each => each.area.toLocaleString('en'),
  box: ({box}) => [box.x_min, box.y_min, box.x_max, box.y_max].map(Math.round).join(', '),
};
const HEADS = {score: 'Score', area: 'Pixels', box: 'Box: x, y to x, y'};

function table(objects, columns, total = objects.length) {
  const head = [element('th', {scope: 'col'}, '#'), element('th', {scope: 'col'}, 'Label'),
    ...columns.map(name => element('th', {scope: 'col', class: 'n'}, HEADS[name]))];
  const rows = objects.slice(0, ROWS).map((each, index) => element('tr', {},
    element('td', {}, `${index + 1}`), element('th', {scope: 'row'}, each.label),
    ...columns.map(name => element('td', {class: 'n'}, CELLS[name](each)))));
  const left = total - rows.length;
  return element('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Objects'},
    element('table', {}, element('caption', {}, count(total, 'object')),
      element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...rows)),
    left > 0 ? element('p', {class: 'faint'}, `and ${left.toLocaleString('en')} more`) : null);
}

function familiarity(model, value) {
  const strange = value < model.familiarity;
  const words = strange
    ? `Unlike what the model was trained on (familiarity ${value.toFixed(4)}, below ${model.familiarity}): do not rely on the answer.`
    : `Like what the model was trained on: familiarity ${value.toFixed(2)}.`;
  return element('p', {class: strange ? 'note' : 'faint', id: 'familiarity'}, words);
}
