// Where images come from: chosen, dropped, pasted, photographed. Each is given on as a list of files.

import {find} from './dom.js';

export function listen(main, take) {
  const files = list => [...list].filter(file => file.size || file.type);
  const given = list => files(list).length && take(files(list));

  for (const input of [find('#files', main), find('#shot', main)]) {
    input.addEventListener('change', () => {
      given(input.files);
      input.value = '';
    });
  }
  const over = on => event => {
    if (![...event.dataTransfer.types].includes('Files')) return;
    event.preventDefault();
    find('#drop', main).classList.toggle('over', on);
  };
  main.addEventListener('dragover', over(true));
  main.addEventListener('dragleave', over(false));
  main.addEventListener('drop', event => {
    over(false)(event);
    given(event.dataTransfer.files);
  });
  const pasted = event => {
    if (!main.isConnected) return document.removeEventListener('paste', pasted);
    if (event.clipboardData.files.length) {
      event.preventDefault();
      given(event.clipboardData.files);
    }
  };
  document.addEventListener('paste', pasted);
  find('#photograph', main).addEventListener('click', () => photograph(main, given));
}

// On a phone its own camera app; elsewhere what the browser offers, and a file where it offers nothing.
async function photograph(main, given) {
  const phone = matchMedia('(pointer: coarse)').matches;
  const stream = phone ? null : await navigator.mediaDevices?.getUserMedia({video: true}).catch(() => null);
  if (!stream) return find('#shot', main).click();
  const dialog = find('#camera', main), video = find('video', dialog), take = find('#take', dialog);
  // Before its first frame there is nothing to take.
  take.disabled = true;
  video.onplaying = () => { take.disabled = false; };
  video.srcObject = stream;
  dialog.addEventListener('close', () => stream.getTracks().forEach(track => track.stop()), {once: true});
  find('#cancel', dialog).onclick = () => dialog.close();
  take.onclick = async () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext('2d').drawImage(video, 0, 0);
    const blob = await new Promise(done => canvas.toBlob(done, 'image/jpeg', 0.92));
    dialog.close();
    given([new File([blob], 'photograph.jpg', {type: 'image/jpeg'})]);
  };
  dialog.showModal();
}
