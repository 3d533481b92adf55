// What is asked of the service, and the answer as it would be with another threshold or number of labels.
//
// Classification, localization and detection answer everything (threshold 0); what a person then asks for is a
// part of it. A mask depends on its threshold pixel by pixel, and tiles are merged above it: those ask again.

const MOST = 1000;

export const trims = model => model.task !== 'segmentation' && !model.tiles;

// The query that is posted.
export function asked(model, options) {
  const query = new URLSearchParams({model: model.name});
  if (options.version !== model.version) query.set('version', options.version);
  if (trims(model)) query.set('threshold', 0);
  else if (options.threshold !== null) query.set('threshold', options.threshold);
  if (model.task === 'classification') query.set('top_k', MOST);
  if (options.objects) objects(query);
  return query;
}

// The query that gives the shown answer at once, without what needs not be said.
export function shownQuery(model, options) {
  const query = new URLSearchParams();
  if (!model.default) query.set('model', model.name);
  if (options.version !== model.version) query.set('version', options.version);
  if (options.threshold !== null) query.set('threshold', options.threshold);
  if (model.task === 'classification' && options.top !== 5) query.set('top_k', options.top);
  if (options.objects) objects(query);
  return query;
}

// Whether its answer is the score of a label, which can be explained.
export const explains = model => ['classification', 'localization'].includes(model.task);

// The query that explains the answer's best label.
export function explained(model, options, answer) {
  const query = new URLSearchParams({model: model.name, version: options.version});
  const label = answer.label ?? answer.top?.[0]?.label;
  if (label) query.set('target', label);
  return query;
}

function objects(query) {
  query.set('instances', true);
  query.set('mask', 'polygons');
}

// The answer to `shownQuery` out of that to `asked`.
export function trimmed(model, options, answer) {
  if (!trims(model)) return answer;
  const least = options.threshold ?? model.threshold;
  if (model.task === 'localization') return {...answer, label: answer.score >= least ? answer.label : null};
  if (model.task === 'detection') return detected(answer, least);
  if (answer.labels) return multilabel(model, options, answer);
  const top = answer.top.slice(0, options.top).filter(each => each.score >= least);
  const group = 'group' in answer && {group: answer.group_score >= least ? answer.group : null};
  return {...answer, label: top[0]?.label ?? null, ...group, top};
}

function multilabel(model, options, answer) {
  const labels = answer.labels.filter(({label, score}) =>
    score >= (options.threshold ?? model.label_thresholds[label]));
  const {label = null, score = answer.score} = labels[0] ?? {};
  return {...answer, label, score, labels, top: labels.slice(0, options.top)};
}

function detected(answer, least) {
  const objects = answer.objects.filter(each => each.score >= least);
  const counts = {};
  for (const {label} of objects) counts[label] = (counts[label] ?? 0) + 1;
  const {label = null, score = null, box = null, box_normalized = null} = objects[0] ?? {};
  return {...answer, label, score, box, box_normalized, objects, counts};
}
