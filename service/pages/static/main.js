// Begins each page, and goes from one to another without leaving where a key would be forgotten by that.

import {element, find} from './dom.js';
import {ask, forgetKey, hasKey, showImages} from './session.js';

const PAGES = {try: './try.js', models: null, model: './card.js'};

async function begin() {
  const main = find('#main');
  await showImages(main);
  const script = PAGES[main.dataset.page];
  if (script) (await import(script)).start(main);
}

const place = () => location.pathname + location.search;
let shown = place();

async function go(address, {push = true} = {}) {
  try {
    await turn(address, push, await (await ask(address, {headers: {Accept: 'text/html'}})).text());
  } catch (error) {
    if (error.status === 403) forgetKey();
    failed(error, () => go(address, {push}));
  }
}

// Instead of what was there, which the page that did not come would have replaced.
function failed(error, again) {
  const main = find('#main').cloneNode();
  delete main.dataset.page;
  main.removeAttribute('aria-busy');
  main.append(element('div', {class: 'problem', role: 'alert'},
    element('h1', {}, error.title ?? 'This did not work'), element('p', {}, error.message),
    element('button', {type: 'button', class: 'plain', onclick: again}, 'Try again')));
  find('#main').replaceWith(main);
  shown = place();
  main.focus();
}

async function turn(address, push, text) {
  // It is a page of ours, whose values are escaped; scripts of a parsed document do not run.
  const page = new DOMParser().parseFromString(text, 'text/html');
  for (const link of page.querySelectorAll('link[rel=stylesheet]')) {
    if (!find(`link[href="${CSS.escape(link.getAttribute('href'))}"]`)) document.head.append(link);
  }
  for (const part of ['#main', 'header']) find(part).replaceWith(find(part, page));
  document.title = page.title;
  if (push) history.pushState(null, '', address);
  shown = place();
  find('#main').focus();
  await begin();
  const {hash} = new URL(address, location.href);
  if (hash) find(hash)?.scrollIntoView();
}

document.addEventListener('click', event => {
  const link = event.target.closest('a[href]');
  const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button);
  if (!hasKey() || !link || !plain || link.origin !== location.origin) return;
  const root = find('#main').dataset.root;
  const within = link.pathname === `${root}/` || link.pathname.startsWith(`${root}/models`);
  if (!within || (link.hash && link.pathname === location.pathname)) return;
  event.preventDefault();
  go(link.href);
});
// A jump within a page is one of these, too.
addEventListener('popstate', () => hasKey() && place() !== shown && go(location.href, {push: false}));

if (find('#main').dataset.locked !== undefined) go(location.href, {push: false});
else begin();
