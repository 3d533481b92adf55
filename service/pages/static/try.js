// The page where images are tried.

import {asked, explained, explains, shownQuery, trimmed} from './answers.js';
import {element, find, tabs} from './dom.js';
import {Question} from './question.js';
import {code} from './requests.js';
import {ask, forgetKey, hasKey, showImages} from './session.js';
import {listen} from './sources.js';
import {picture} from './picture.js';
import {sentence, told} from './told.js';
import {stages, timeline} from './timing.js';

const AT_ONCE = 3;
const LATER = 3000;
const SELDOM = 60_000;
const SETTLED = 150;

export function start(main) {
  new Page(main).begin();
}

class Page {
  constructor(main) {
    this.main = main;
    this.root = main.dataset.root;
    this.question = new Question(main, () => this.changed());
    this.images = [];
    this.current = null;
    this.asking = new AbortController();
    this.turn = 0;
    this.wait = LATER;
    this.language = 'curl';
  }

  get(id) {
    return find(`#${id}`, this.main);
  }

  async begin() {
    listen(this.main, files => this.take(files.map(file => ({name: file.name || 'pasted.png', blob: file}))));
    this.get('look').addEventListener('click', () => this.look());
    this.get('opacity').addEventListener('input', () => this.opacity());
    this.languages();
    this.opacity();
    await this.models();
  }

  // Also again, where not all was there at first: offered is what has changed.
  async models() {
    try {
      const {models, complaint} = await (await ask(`${this.root}/models`)).json();
      if (complaint) this.later();
      if (!models.length) throw new Error(complaint || 'No model is live.');
      if (!this.images.length) this.problem(complaint && new Error(complaint), () => this.models());
      const told = JSON.stringify(models);
      if (told !== this.told) {
        const first = !this.told;
        this.told = told;
        this.question.offer(models);
        // Another version may answer now.
        for (const image of this.images) image.query = null;
        await this.samples(models);
        if (first && !this.images.length) await this.named(models);
      }
      if (this.images.length) await this.post();
    } catch (error) {
      if (error.status === 403) forgetKey();
      this.problem(error, () => this.models());
    }
  }

  // Models that are still being loaded will be there soon; what is wrong for long is asked after seldom.
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (!this.main.isConnected) return;
      if (document.hidden) this.later();
      else this.models();
    }, this.wait);
    this.wait = Math.min(2 * this.wait, SELDOM);
  }

  async samples(models) {
    // Models of one kind were given the same drawings: each shows others of them.
    const all = models.flatMap((model, index) => [2 * index, 2 * index + 1].slice(0, model.samples.length)
      .map(number => ({model, address: model.samples[number % model.samples.length]})));
    const list = this.get('samples'), held = document.activeElement;
    const there = new Map([...list.children].map(each => [each.dataset.address, each]));
    list.replaceChildren(...all.map(({model, address}, index) => there.get(address) ?? element('li', {'data-address': address},
      element('button', {type: 'button', class: 'sample', onclick: () => this.sample(model.name, address)},
        element('img', {'data-src': address, alt: `Drawn sample ${index + 1}`, width: 56, height: 56}),
        element('span', {}, model.name)))));
    // One that was moved has lost the focus.
    if (list.contains(held)) held.focus();
    await showImages(list);
  }

  // The sample that the address of the page names.
  async named(models) {
    const query = new URLSearchParams(location.search), number = query.get('sample');
    const model = models.find(each => each.name === query.get('model'));
    if (model && number !== null) await this.sample(model.name, model.samples[Number(number)]);
  }

  async sample(name, address) {
    if (!address) return;
    const turn = ++this.turn;
    try {
      const blob = await (await ask(address)).blob();
      // Meanwhile another image may have been given.
      if (turn !== this.turn) return;
      // Not before: until now another model's answer is shown.
      this.question.choose(this.question.models.find(each => each.name === name));
      await this.take([{name: `sample of ${name}`, blob, sample: new URL(address, location.href).href}]);
    } catch (error) {
      this.problem(error, () => this.sample(name, address));
    }
  }

  async take(images) {
    this.turn += 1;
    for (const image of this.images) URL.revokeObjectURL(image.url);
    this.images = images.map(image => ({...image, url: URL.createObjectURL(image.blob)}));
    this.current = this.images[0];
    this.get('blank').hidden = true;
    const posted = this.post();
    if (this.get('said').getBoundingClientRect().top > innerHeight) this.get('said').scrollIntoView();
    await posted;
  }

  // The question has changed: what is known is shown anew, the rest is asked.
  async changed() {
    if (this.images.length) await this.post(SETTLED);
  }

  async post(wait = 0) {
    const {model, options} = this.question;
    // Images may be given before it is known which models there are.
    if (!model) return;
    const query = `${model.path}?${asked(model, options)}`;
    if (this.images.every(image => image.query === query && !image.error)) return this.show();
    // Nothing shown is the answer to another question.
    this.asking.abort();
    this.asking = new AbortController();
    const {signal} = this.asking;
    const left = this.images.filter(image => image.query !== query || !image.answer);
    for (const image of left) Object.assign(image, {query, answer: null, error: null, seen: null});
    this.show();
    if (wait) await new Promise(done => setTimeout(done, wait));
    const work = async () => {
      while (left.length && !signal.aborted) await this.one(left.shift(), signal);
    };
    await Promise.all(Array.from({length: AT_ONCE}, work));
  }

  send({blob}, path, signal) {
    const headers = {'Content-Type': 'application/octet-stream'};
    return ask(`${this.root}/${path}`, {method: 'POST', body: blob, signal, headers});
  }

  async one(image, signal) {
    const began = performance.now();
    let found;
    try {
      const response = await this.send(image, image.query, signal);
      const {model, results: [answer]} = await response.json();
      found = {version: model, answer, times: stages(response.headers.get('server-timing'), performance.now() - began)};
    } catch (error) {
      found = {error};
    }
    if (signal.aborted) return;
    Object.assign(image, found);
    this.show();
  }

  // Ask what the answer depends on. It stands aside for answers, and may be told to come again.
  async look() {
    const image = this.current, {signal} = this.asking, {model, options} = this.question;
    const waiting = image.seen = {words: 'Covering one part after the other ...'};
    this.show();
    let seen;
    try {
      const response = await this.send(image, `explain?${explained(model, options, image.answer)}`, signal);
      const {results: [explanation]} = await response.json();
      seen = {explanation, words: explanation.meaning};
    } catch (error) {
      seen = {words: error.message};
    }
    if (image.seen !== waiting) return;
    image.seen = signal.aborted ? null : seen;
    this.show();
  }

  show() {
    const image = this.current;
    this.gallery();
    this.problem(image.error, () => this.post());
    this.get('answer').hidden = !image.answer;
    this.get('said').textContent = image.answer || image.error ? '' : 'Asking ...';
    this.main.setAttribute('aria-busy', String(this.images.some(each => !each.answer && !each.error)));
    if (image.answer) this.answered(image);
    else if (image.error) this.get('stage').replaceChildren();
  }

  answered(image) {
    const {model, options} = this.question, answer = trimmed(model, options, image.answer);
    this.get('said').replaceChildren(element('b', {}, sentence(answer)), ` ${model.name} ${image.version.version}`);
    // The photo is drawn again only where what lies on it has changed.
    const explanation = image.seen?.explanation;
    const drawn = JSON.stringify([image.url, answer.label, answer.width && answer, explanation]);
    if (this.drawn !== drawn) this.get('stage').replaceChildren(picture(image.url, image.name, answer, explanation));
    this.drawn = drawn;
    this.get('looked-row').hidden = !explains(model);
    this.get('looked').textContent = image.seen?.words ?? '';
    this.get('mask-row').hidden = !answer.classes && !explanation;
    this.get('opacity-named').textContent = explanation ? 'Map' : 'Mask';
    this.get('told').replaceChildren(...told(model, answer));
    this.get('time').replaceChildren(...timeline(image.times));
    this.get('json').textContent = JSON.stringify({model: image.version, results: [answer]}, null, 2);
    this.code();
  }

  gallery() {
    const list = this.get('gallery');
    list.hidden = this.images.length < 2;
    if (list.hidden) return;
    const {model, options} = this.question;
    const words = image => image.error?.message
      ?? (image.answer ? sentence(trimmed(model, options, image.answer)) : 'Asking ...');
    if (list.childElementCount !== this.images.length || this.listed !== this.images) {
      this.listed = this.images;
      list.replaceChildren(...this.images.map(image => element('li', {},
        element('button', {type: 'button', class: 'tile', onclick: () => this.choose(image)},
          element('img', {src: image.url, alt: image.name, loading: 'lazy'}), element('span', {})))));
    }
    for (const [index, image] of this.images.entries()) {
      const button = list.children[index].firstChild;
      button.setAttribute('aria-pressed', String(image === this.current));
      button.classList.toggle('failed', Boolean(image.error));
      button.lastChild.textContent = words(image);
    }
  }

  choose(image) {
    this.current = image;
    this.show();
  }

  problem(error, again) {
    const place = this.get('problem'), words = error ? `${error.title} ${error.message}` : '';
    this.again = again;
    // Its button keeps the focus.
    if (words === this.words) return;
    this.words = words;
    place.hidden = !error;
    if (!error) return place.replaceChildren();
    place.replaceChildren(
      element('b', {}, error.title ?? 'This did not work'), element('p', {}, error.message),
      element('button', {type: 'button', class: 'plain', onclick: () => this.again()}, 'Try again'));
  }

  opacity() {
    this.main.style.setProperty('--mask', this.get('opacity').value);
  }

  languages() {
    tabs([...this.main.querySelectorAll('[role=tab]')], tab => {
      this.language = tab.id.slice('tab-'.length);
      this.get('code').setAttribute('aria-labelledby', tab.id);
      this.code();
    });
    this.get('copy').addEventListener('click', () => this.copy());
  }

  code() {
    if (!this.current?.answer) return;
    const {model, options} = this.question, query = shownQuery(model, options).toString();
    const address = new URL(`${this.root}/${model.path}${query && `?${query}`}`, location.href).href;
    this.get('code').textContent = code(address, this.current, hasKey())[this.language];
  }

  async copy() {
    const button = this.get('copy');
    try {
      await navigator.clipboard.writeText(this.get('code').textContent);
      button.textContent = 'Copied';
    } catch {
      // Without TLS a browser offers no clipboard: it is marked, to be copied by hand.
      getSelection().selectAllChildren(this.get('code'));
      button.textContent = 'Marked: press Ctrl+C';
    }
    setTimeout(() => { button.textContent = 'Copy'; }, 2000);
  }
}

