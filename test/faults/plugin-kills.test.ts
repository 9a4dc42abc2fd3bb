/** A plugin's process is killed again and again under load: requests wait for the next one, and none is ever let in by mistake. */
import { Agent, request } from 'node:http';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { startUpstream } from '../support/upstream.ts';

/** The whole test takes 60; .ci/run gives that. */
const SECONDS = Number(process.env.WEIR_KILL_SECONDS ?? 6);
const CONNECTIONS = 64;
const program = fileURLToPath(new URL('../support/plugins/mosn.mjs', import.meta.url));

test(
  `kill -9 every 2 s for ${SECONDS} s, ${CONNECTIONS} connections`,
  async () => {
    const upstream = await startUpstream((_, response) => response.end('ok'));
    const filters = [
      { use: program, name: 'checker', runtime: 'plugin', protocol: 'mosn', args: ['check'], timeout: '2s' },
    ];
    const { port, log } = await startProxy(simpleConfig(upstream.port, { filters }));
    const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
    const ask = (headers: Record<string, string>) =>
      new Promise<number>((resolve) => {
        const sent = request({ port, agent, headers }, (response) => {
          response.resume().on('end', () => resolve(response.statusCode ?? 0));
        });
        sent.on('error', () => resolve(0)).end();
      });
    const counts = { right: 0, wrong: 0, wronglyAllowed: 0 };
    const deadline = performance.now() + SECONDS * 1000;
    let kills = 0;
    const killer = setInterval(() => {
      const last = log.messages('info').findLast((text) => text.includes(' runs: process '));
      process.kill(Number(/process ([0-9]+) on/.exec(last ?? '')?.[1]), 'SIGKILL');
      kills++;
    }, 2000);
    const client = async (i: number) => {
      const [headers, expected]: [Record<string, string>, number] = i % 2 === 0 ? [{ user: 'admin' }, 200] : [{}, 403];
      while (performance.now() < deadline) {
        const status = await ask(headers);
        counts[status === expected ? 'right' : 'wrong']++;
        if (expected === 403 && status === 200) counts.wronglyAllowed++;
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => client(i)));
    clearInterval(killer);
    agent.destroy();
    process.stdout.write(`${kills} kills: ${JSON.stringify(counts)}\n`);
    expect(kills).toBeGreaterThanOrEqual(Math.floor(SECONDS / 2) - 1);
    expect(counts.wronglyAllowed).toBe(0);
    expect(counts.right / (counts.right + counts.wrong)).toBeGreaterThanOrEqual(0.999);
  },
  SECONDS * 1000 + 20_000,
);
