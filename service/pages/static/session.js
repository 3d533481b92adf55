// Requests to the service, with the key where one is needed. The key lives in this variable and nowhere else.

import {find} from './dom.js';

let key = '';

export const hasKey = () => key !== '';

// A key that is not for what was asked: another may be.
export function forgetKey() {
  key = '';
}

// What the service or the way to it says, in its own words.
export class Problem extends Error {
  constructor(document, status = 0) {
    super(document.detail);
    this.title = document.title;
    this.code = document.code;
    this.status = status;
  }
}

// Return the response; a Problem where it is none of 200. Asks for a key, and then again, where one is needed.
export async function ask(address, options = {}) {
  for (;;) {
    const headers = {...options.headers, ...(key && {Authorization: `Bearer ${key}`})};
    const response = await fetch(address, {...options, headers, cache: 'no-cache'}).catch(() => {
      throw new Problem({title: 'No answer', code: 'unreachable', detail:
        'The service cannot be reached. It may be starting again: try in a moment.'});
    });
    if (response.ok) return response;
    const problem = new Problem(await words(response), response.status);
    if (response.status !== 401) throw problem;
    await askForKey(key ? problem.message : '');
  }
}

async function words(response) {
  const kind = response.headers.get('content-type') ?? '';
  const told = kind.includes('json') ? await response.json().catch(() => null) : null;
  return told?.detail ? told : {title: response.statusText, code: '', detail:
    `The service answered ${response.status}, without saying why.`};
}

let waiting = null;

// Several requests may find out at once that a key is needed: it is asked for once.
function askForKey(problem) {
  const form = find('#key'), input = find('#key-text');
  find('#key-problem').textContent = problem;
  waiting ??= new Promise(done => {
    form.hidden = false;
    input.focus();
    form.addEventListener('submit', event => {
      event.preventDefault();
      key = input.value.trim();
      input.value = '';
      form.hidden = true;
      waiting = null;
      done();
    }, {once: true});
  });
  return waiting;
}

// Show images of the service: by their address, or with the key.
export async function showImages(within) {
  for (const image of within.querySelectorAll('img[data-src]')) {
    const address = image.dataset.src;
    image.removeAttribute('data-src');
    // One that does not come leaves its place empty.
    image.src = hasKey() ? await fetched(address).catch(() => '') : address;
  }
}

const fetched = async address => URL.createObjectURL(await (await ask(address)).blob());
