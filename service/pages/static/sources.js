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
  find('#photograph', main).addEventListener('click', async () => {
    // On a phone its own camera app.
    if (matchMedia('(pointer: coarse)').matches) return find('#shot', main).click();
    const {photograph} = await import('./camera.js');
    await photograph(main, given);
  });
}
