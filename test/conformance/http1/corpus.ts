/** Messages to start from, valid and not, and a seeded mutator that makes others of them. */
import type { Kind } from './oracle.ts';

const HOST = 'Host: example.test\r\n';

export const REQUESTS: readonly string[] = [
  `GET / HTTP/1.1\r\n${HOST}\r\n`,
  `GET /path?query=1&b=%20 HTTP/1.1\r\n${HOST}Accept: */*\r\nX-A: b\r\nX-A: c\r\n\r\n`,
  `HEAD / HTTP/1.1\r\n${HOST}\r\n`,
  `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`,
  `GET http://example.test/abs HTTP/1.1\r\n${HOST}\r\n`,
  `CONNECT example.test:443 HTTP/1.1\r\n${HOST}\r\n`,
  `GET / HTTP/1.0\r\n\r\n`,
  `GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`,
  `POST /x HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5;ext=1;b="q\\"x"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`,
  `POST /x HTTP/1.1\r\n${HOST}Content-Length: 5, 5\r\n\r\nhello`,
  `POST /x HTTP/1.1\r\n${HOST}Content-Length: +5\r\n\r\nhello`,
  `POST /x HTTP/1.1\r\n${HOST}Content-Length: 0x5\r\n\r\nhello`,
  `POST /x HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok`,
  `GET /chat HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello`,
  `GET / HTTP/1.1\r\n${HOST}Folded: a\r\n b\r\n\r\n`,
  `GET / HTTP/1.1\r\n${HOST}Space : x\r\n\r\n`,
  `GET / HTTP/1.1\r\n${HOST}Empty:\r\n\r\n`,
  `GET / HTTP/1.1\r\n${HOST}Tab:\tvalue\t \r\n\r\n`,
  `GET / HTTP/1.1\r\n${HOST}Bytes: caf\xe9\r\n\r\n`,
  `GET / HTTP/1.1\nHost: a\n\n`,
  `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n`,
  `GET / HTTP/1.1\r\n\r\n`,
  `GET  / HTTP/1.1\r\n${HOST}\r\n`,
  `GET / HTTP/1.1 \r\n${HOST}\r\n`,
  `GET / HTTP/2.0\r\n${HOST}\r\n`,
  `\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`,
  `GET /a HTTP/1.1\r\n${HOST}\r\nGET /b HTTP/1.1\r\n${HOST}\r\nPOST /c HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nxGET /d HTTP/1.1\r\n${HOST}\r\n`,
  `POST /x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\n${HOST}\r\n`,
  `DELETE /x HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`,
  `PUT /x HTTP/1.1\r\n${HOST}Connection: keep-alive, x-drop\r\nX-Drop: 1\r\nContent-Length: 1\r\n\r\n1`,
];

export const RESPONSES: readonly string[] = [
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n0\r\nX-T: v\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\nuntil the end',
  'HTTP/1.0 200 OK\r\n\r\nold',
  'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\noldHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nraw bytes',
  'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  'HTTP/1.1 500 Oops\r\nX: y\r\nContent-Length: 1\r\n\r\n!',
];

export function corpusOf(kind: Kind): readonly string[] {
  return kind === 'request' ? REQUESTS : RESPONSES;
}

/** A small generator of pseudo-random numbers (mulberry32): the same seed gives the same run everywhere. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const SPECIAL = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '"',
  '\x7f',
  '\x80',
  '\xff',
  '0',
  'F',
  '-',
  '+',
  '\x0b',
  '#',
  '?',
];
const LINES = [
  'Content-Length: 1\r\n',
  'Content-Length: 7\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'Connection: close\r\n',
  'Connection: upgrade\r\nUpgrade: h2c\r\n',
  'Host: other\r\n',
  'Expect: 100-continue\r\n',
  'X-Long: '.padEnd(300, 'x').concat('\r\n'),
  ' folded\r\n',
  'TE: trailers\r\n',
];
const NUMBERS = ['0', '1', '00', '7fffffff', 'ffffffffffffffff', '10000000000000000', '-1', ' 5', '5 ', '0x1', ''];

/** One to four changes of `message`. */
export function mutate(message: string, others: readonly string[], random: (below: number) => number): string {
  let text = message;
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(text.length + 1);
    const before = text.slice(0, at);
    const after = text.slice(at);
    switch (random(9)) {
      case 0:
        text = before + (SPECIAL[random(SPECIAL.length)] as string) + after;
        break;
      case 1:
        text = before + after.slice(1 + random(3));
        break;
      case 2:
        text = before + String.fromCharCode(random(256)) + after.slice(1);
        break;
      case 3: {
        const line = text.indexOf('\r\n', at);
        if (line >= 0) text = text.slice(0, line + 2) + (LINES[random(LINES.length)] as string) + text.slice(line + 2);
        break;
      }
      case 4:
        text = text.replace(/[0-9a-fA-F]+(?=[\r;])/, () => NUMBERS[random(NUMBERS.length)] as string);
        break;
      case 5:
        text = before + (others[random(others.length)] as string).slice(random(20));
        break;
      case 6:
        text = before;
        break;
      case 7:
        text = before + after.slice(0, random(12)) + after;
        break;
      default:
        text = `${text}${others[random(others.length)]}`;
    }
  }
  return text.slice(0, 4000);
}
