/** What a worker thread runs: the data plane with every runtime. */
import { createRuntimes } from '../../runtimes/index.ts';
import { runWorker } from '../supervisor/worker.ts';

runWorker(createRuntimes());
