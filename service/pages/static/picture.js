// The photo, from the client's own copy, with the answer drawn on it.

import {drawn, element, length} from './dom.js';

// Okabe and Ito, "Color Universal Design" (2008), as in the service's own masks: the first is of label 1.
const COLOURS = ['#e69f00', '#56b4e9', '#009e73', '#f0e442', '#0072b2', '#d55e00'];
const BOX = COLOURS[0];
const HEAT = [255, 64, 0];
// Log-odds that are hardly anything, as in the service's own pictures.
const LITTLE = 0.2;
const CAPTIONED = 12;
const LARGEST = 1024;

export const colour = index => COLOURS[(index - 1) % COLOURS.length];

// Return an element with the photo at `url` and what `answer` says of it, and where there is one, below that,
// what an explanation says. Browsers turn photos upright by
// themselves, as the service does, so that a box in fractions lies where it belongs.
export function picture(url, name, answer, explanation) {
  const image = element('img', {src: url, alt: name});
  const layers = element('div', {class: 'drawn'});
  const photo = element('div', {class: 'photo'}, image, layers);
  const size = (width, height) => {
    photo.style.aspectRatio = `${width} / ${height}`;
    photo.style.setProperty('--aspect', width / height);
  };
  if (answer?.width) size(answer.width, answer.height);
  else image.addEventListener('load', () => size(image.naturalWidth, image.naturalHeight));
  image.addEventListener('error', () => {
    image.remove();
    photo.prepend(element('p', {class: 'undrawn'}, 'This browser cannot show this kind of image; the answer holds all the same.'));
  });
  if (explanation) layers.append(heat(explanation));
  if (answer) layers.append(...drawnOn(answer));
  return photo;
}

function drawnOn(answer) {
  if (answer.objects) return boxes(answer, answer.objects);
  if (answer.classes) return masks(answer);
  return answer.box ? boxes(answer, [answer]) : [];
}

// The map as a few large pixels, which the browser makes smooth: clear where nothing matters.
function heat({map, box_normalized: place}) {
  const canvas = element('canvas', {class: 'mask heat', 'aria-hidden': 'true', width: map[0].length, height: map.length});
  const most = Math.max(LITTLE, ...map.flat());
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(canvas.width, canvas.height);
  for (const [at, value] of map.flat().entries()) pixels.data.set([...HEAT, 255 * Math.max(0, value / most)], 4 * at);
  context.putImageData(pixels, 0, 0);
  const {x_min: left, x_max: right, y_min: top, y_max: bottom} = place;
  Object.assign(canvas.style, {left: length(left), top: length(top), width: length(right - left), height: length(bottom - top)});
  return canvas;
}

function boxes(answer, objects) {
  const labels = [...new Set(answer.objects?.map(each => each.label))].sort();
  const paint = ({label}) => (labels.length > 1 ? colour(1 + labels.indexOf(label)) : BOX);
  const {frame, svg} = frameOf(answer);
  const captions = objects.map((object, index) => {
    const {x_min, y_min, x_max, y_max} = object.box;
    svg.append(drawn('rect', {class: 'box', stroke: paint(object),
      x: x_min, y: y_min, width: x_max - x_min, height: y_max - y_min}));
    const words = objects.length > CAPTIONED ? `${index + 1}` : `${object.label ?? 'unsure'} ${object.score.toFixed(2)}`;
    const caption = element('span', {class: 'caption', 'aria-hidden': 'true'}, words);
    const {x_min: left, x_max: right} = object.box_normalized;
    if (left > 0.7) caption.style.right = length(1 - right);
    else caption.style.left = length(left);
    caption.style.top = length(object.box_normalized.y_min);
    caption.style.borderColor = paint(object);
    return caption;
  });
  return [frame, ...captions];
}

function frameOf({width, height}) {
  const svg = drawn('svg', {viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true'});
  return {frame: svg, svg};
}

function masks(answer) {
  const index = Object.fromEntries(answer.classes.map(each => [each.label, each.index]));
  const {frame, svg} = frameOf(answer);
  if (answer.mask?.encoding === 'png') return [canvas(answer)];
  // Outlines go through the middles of pixels.
  const within = drawn('g', {transform: 'translate(.5 .5)'});
  svg.append(within);
  for (const {label, outlines, holes} of answer.mask?.classes ?? []) {
    within.append(drawn('path', {class: 'mask', fill: colour(index[label]), d: path([...outlines, ...holes])}));
  }
  for (const {label, mask} of answer.instances ?? []) {
    within.append(drawn('path', {class: 'outline', stroke: colour(index[label]), d: path(mask.outlines)}));
  }
  return [frame];
}

const path = outlines => outlines.map(flat => {
  const points = [];
  for (let at = 0; at < flat.length; at += 2) points.push(`${flat[at]} ${flat[at + 1]}`);
  return `M${points.join('L')}Z`;
}).join('');

// A palette PNG whose first colour, black, stands for what is nothing: that is left clear.
function canvas({width, height, mask}) {
  const scale = Math.min(1, LARGEST / Math.max(width, height));
  const drawing = element('canvas', {class: 'mask', 'aria-hidden': 'true',
    width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale))});
  paint(drawing, mask.data);
  return drawing;
}

async function paint(drawing, data) {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
  const context = drawing.getContext('2d', {willReadFrequently: true});
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, 0, 0, drawing.width, drawing.height);
  bitmap.close();
  const pixels = context.getImageData(0, 0, drawing.width, drawing.height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let at = 0; at < words.length; at += 1) if (words[at] << 8 === 0) words[at] = 0;
  context.putImageData(pixels, 0, 0);
}
