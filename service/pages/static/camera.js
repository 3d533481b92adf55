// A photograph by the camera that the browser offers, and a file where it offers none.

import {find} from './dom.js';

export async function photograph(main, given) {
  const stream = await navigator.mediaDevices?.getUserMedia({video: true}).catch(() => null);
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
