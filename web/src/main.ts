/** Starts the page. */

import './style.css';

import { App, showFailure } from './app';
import { BACKENDS, type Backend } from './messages';
import { byId } from './dom';
import { Learner } from './learner';
import { shrink } from './preprocess';

/** `?backend=wasm` and the like choose where to compute; for trying them out. */
function wantedBackend(): Backend | undefined {
  const wanted = new URLSearchParams(location.search).get('backend');
  return BACKENDS.find((backend) => backend === wanted);
}

async function start(): Promise<void> {
  byId('failure').hidden = true;
  byId('verdict').textContent = 'Loading the network …';
  byId('status').textContent = 'Loading …';
  let learner: Learner | undefined;
  try {
    learner = new Learner(new URL('model/', document.baseURI).href, wantedBackend());
    // For the console and for tests: tasks of one's own, with drawings as pixels.
    Object.assign(window, { reptile: { learner, shrink } });
    const ready = await learner.ready;
    byId('outer-steps').textContent = ready.model.outerSteps.toLocaleString('en');
    byId('page').classList.remove('loading');
    new App(learner, ready);
  } catch (error) {
    learner?.stop();
    byId('verdict').textContent = '';
    showFailure(error, () => void start());
  }
}

byId('not-started').remove();
void start();
