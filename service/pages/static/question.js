// What is asked: which model and version, from which score on, how many labels, separate objects or not.

import {element, find} from './dom.js';

const TASKS = {classification: 'Labels', localization: 'One box', detection: 'All objects', segmentation: 'Masks'};

export class Question {
  constructor(main, changed) {
    this.main = main;
    this.changed = changed;
    this.on('model', 'change', () => {
      this.choose(this.models.find(each => each.name === this.get('model').value));
      changed();
    });
    this.on('version', 'change', () => this.update({version: Number(this.get('version').value)}));
    this.on('threshold', 'input', () => this.update({threshold: Number(this.get('threshold').value)}));
    this.on('own', 'click', () => this.update({threshold: null}));
    this.on('top', 'input', () => this.get('top').checkValidity() && this.get('top').value
      && this.update({top: Number(this.get('top').value)}));
    this.on('objects', 'change', () => this.update({objects: this.get('objects').checked}));
  }

  // Offer these models; what was chosen, here or by the address, stays chosen as long as it is there.
  offer(models) {
    const query = new URLSearchParams(location.search), before = this.model;
    const named = before?.name ?? query.get('model');
    const model = models.find(each => each.name === named)
      ?? models.find(each => each.default && each.path === 'classify') ?? models[0];
    const kept = before?.name === model.name ? {...this.options} : {version: Number(query.get('model') === model.name && query.get('version'))};
    if (!model.versions.includes(kept.version) || kept.version === before?.version) delete kept.version;
    this.models = models;
    this.fill();
    this.choose(model, kept);
    this.get('options').disabled = false;
  }

  get(id) {
    return find(`#${id}`, this.main);
  }

  on(id, event, act) {
    this.get(id).addEventListener(event, act);
  }

  fill() {
    const groups = Object.entries(TASKS).map(([task, words]) => {
      const models = this.models.filter(each => each.task === task);
      return models.length && element('optgroup', {label: words},
        ...models.map(({name}) => element('option', {value: name}, name)));
    });
    this.get('model').replaceChildren(...groups.filter(Boolean));
  }

  choose(model, kept = {}) {
    this.model = model;
    this.get('model').value = model.name;
    const separate = model.task === 'segmentation' && model.labels === 2 && !model.tiles;
    this.options = {version: model.version, threshold: null, top: this.options?.top ?? 5, objects: separate, ...kept};
    this.get('version').replaceChildren(...model.versions.map(each => element('option', {value: each}, `${each}`)));
    this.get('version-row').hidden = model.versions.length < 2;
    this.get('top-row').hidden = model.task !== 'classification';
    this.get('objects-row').hidden = model.task !== 'segmentation';
    const {name, figure, description} = model, root = this.main.dataset.root;
    this.get('about').replaceChildren(`${description} ${figure}. `, element('a', {href: `${root}/models/${encodeURIComponent(name)}`}, `About ${name}`));
    this.reflect();
  }

  update(options) {
    Object.assign(this.options, options);
    this.reflect();
    this.changed();
  }

  reflect() {
    const {model, options} = this, own = options.threshold === null;
    this.get('version').value = options.version;
    this.get('threshold').value = options.threshold ?? model.threshold;
    const named = Object.keys(model.label_thresholds).length ? 'each its own' : model.threshold.toFixed(2);
    this.get('threshold-told').textContent = own ? named : options.threshold.toFixed(2);
    this.get('own').hidden = own;
    this.get('objects').checked = options.objects;
  }
}
