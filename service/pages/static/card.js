// A model's page: samples answered by it, and what one value of a layer sees.

import {element, find} from './dom.js';
import {picture} from './picture.js';
import {ask} from './session.js';
import {measurements} from './measured.js';
import {sentence} from './told.js';

export function start(main) {
  const list = find('#samples .gallery', main);
  if (list) answers(list, main.dataset.root);
  find('#measure', main)?.addEventListener('click', event => measured(event.target, find('#measured', main)));
  const select = find('#field', main);
  if (select) field(main, select);
}

async function answers(list, root) {
  const {face, model, version} = list.dataset;
  const address = `${root}${face}?${new URLSearchParams({model, version})}`;
  // One after the other: a page that is looked at shall not keep others waiting.
  for (const place of list.querySelectorAll('[data-sample]')) {
    try {
      const blob = await (await ask(place.dataset.sample)).blob();
      const response = await ask(address, {method: 'POST', body: blob, headers: {'Content-Type': 'application/octet-stream'}});
      const {results: [answer]} = await response.json();
      place.append(picture(URL.createObjectURL(blob), '', answer), element('span', {class: 'words'}, sentence(answer)));
    } catch (error) {
      place.append(element('span', {class: 'words'}, error.message));
    }
  }
}

async function field(main, select) {
  const frame = find('.framed', main), svg = find('#field-drawn', main), window = find('.window', svg);
  const [width, height] = svg.getAttribute('viewBox').split(' ').slice(2).map(Number);
  select.addEventListener('change', () => {
    const side = Number(select.value);
    const place = {x: (width - side) / 2, y: (height - side) / 2, width: side, height: side};
    for (const [name, value] of Object.entries(place)) window.setAttribute(name, value);
  });
  if (!frame.dataset.sample) return;
  const blob = await (await ask(frame.dataset.sample)).blob();
  frame.prepend(element('img', {src: URL.createObjectURL(blob), alt: ''}));
  frame.classList.add('filled');
}

async function measured(button, place) {
  button.disabled = true;
  place.replaceChildren('Measuring ...');
  try {
    const {measured: found} = await (await ask(button.dataset.address, {headers: {Accept: 'application/json'}})).json();
    place.replaceChildren(...measurements(found));
  } catch (error) {
    place.replaceChildren(element('p', {class: 'problem'}, error.message));
  }
  button.disabled = false;
}
