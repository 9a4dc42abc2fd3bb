/** A real WebSocket client (Node's own) through the proxy. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { simpleConfig, startProxy } from '../support/proxy.ts';
import { startServer } from '../support/raw.ts';

/** Answers the handshake and sends every frame's text back. Source: RFC 6455, sections 4.2.2 and 5.2. */
function webSocketEcho() {
  return startServer((socket) => {
    socket.once('data', (head: Buffer) => {
      const key = /sec-websocket-key: (\S+)/i.exec(head.toString('latin1'))?.[1] ?? '';
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      socket.on('data', (frame: Buffer) => {
        const opcode = (frame[0] as number) & 15;
        const length = (frame[1] as number) & 127;
        const mask = frame.subarray(2, 6);
        const text = Buffer.from(frame.subarray(6, 6 + length)).map((byte, i) => byte ^ (mask[i % 4] as number));
        socket.write(Buffer.concat([Buffer.from([128 | opcode, length]), text]));
        if (opcode === 8) socket.end();
      });
    });
  });
}

test('a WebSocket opens, echoes and closes through filters', async () => {
  const upstream = await webSocketEcho();
  const filters = [{ use: 'headers', config: { response: { set: { 'x-served-by': 'weir' } } } }];
  const { port } = await startProxy(simpleConfig(upstream.port, { filters }));
  const client = new WebSocket(`ws://127.0.0.1:${port}/chat`);
  await new Promise((resolve, reject) => {
    client.addEventListener('open', resolve);
    client.addEventListener('error', reject);
  });
  const message = new Promise((resolve) => client.addEventListener('message', ({ data }) => resolve(data)));
  client.send('hello');
  expect(await message).toBe('hello');
  const closed = new Promise<number>((resolve) => client.addEventListener('close', ({ code }) => resolve(code)));
  client.close(1000);
  expect(await closed).toBe(1000);
});
