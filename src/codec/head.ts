/** The head of an HTTP/1.1 message: start line and fields, parsed strictly. Source: RFC 9112, sections 2–6. */
import { HeaderMap } from '../abi/index.ts';
import { AUTHORITY, CLASS, FIELD_VALUE, isAll, lowerCase, TARGET, TOKEN } from './characters.ts';

/** A message that breaks the protocol. `status` is what a client gets for it; from an upstream it means 502. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** What a parsed head says about the message; hop-by-hop fields are here and no longer in `headers`. */
export class MessageHead {
  readonly headers = new HeaderMap();
  /** 0 or 1: HTTP/1.0 or HTTP/1.1. */
  minorVersion = 1;
  /** Bytes of the body; -1 when the head names no length. */
  contentLength = -1;
  chunked = false;
  /** Whether the connection may serve another message after this one. */
  keepAlive = true;
  /** The protocol that an `Upgrade` with `Connection: upgrade` asks for (or, in a 101, names). */
  upgrade: string | undefined = undefined;
  /** The client waits for `100 Continue` (RFC 9110, section 10.1.1). */
  expectsContinue = false;
  method = '';
  status = 0;
  reason = '';
}

/** Limits of a head. */
export interface HeadLimits {
  /** Bytes of the start line and all fields. */
  maxHeadSize: number;
  /** Fields of the head; trailers count on their own. */
  maxHeaders: number;
  /** Bytes of the request target. */
  maxTargetSize: number;
}

const SPACE = 32;
const TAB = 9;
const COLON = 58;
const SLASH = 47;
const DIGIT_0 = 48;
const DIGIT_9 = 57;

/**
 * Parses a request's head.
 * @param text the head as latin-1, from the start line through the CRLF of the last field, without the empty line.
 * @throws ProtocolError 400, 414, 417, 431, 501 or 505.
 */
export function parseRequestHead(text: string, limits: HeadLimits): MessageHead {
  const head = new MessageHead();
  let methodEnd = 0;
  while (((CLASS[text.charCodeAt(methodEnd)] as number) & TOKEN) !== 0) methodEnd++;
  if (methodEnd === 0 || text.charCodeAt(methodEnd) !== SPACE) {
    throw new ProtocolError(400, 'the request line does not start with a method and one blank');
  }
  let targetEnd = methodEnd + 1;
  while (((CLASS[text.charCodeAt(targetEnd)] as number) & TARGET) !== 0) targetEnd++;
  if (targetEnd - methodEnd - 1 > limits.maxTargetSize) throw new ProtocolError(414, 'the request target is too long');
  if (targetEnd === methodEnd + 1 || text.charCodeAt(targetEnd) !== SPACE) {
    throw new ProtocolError(400, 'the request target is empty or holds a character that is not allowed there');
  }
  head.minorVersion = readVersion(text, targetEnd + 1);
  const fields = targetEnd + 9;
  if (text.charCodeAt(fields) !== 13 || text.charCodeAt(fields + 1) !== 10) {
    throw new ProtocolError(400, 'the request line does not end after the version');
  }
  const method = knownMethods.get(text.slice(0, methodEnd)) ?? text.slice(0, methodEnd);
  head.method = method;
  const target = text.slice(methodEnd + 1, targetEnd);
  const headers = head.headers;
  // Envoy's order of the pseudo-headers; the authority follows from the Host field, so its place is kept for it.
  headers.append(':authority', '');
  headers.append(':path', target);
  headers.append(':method', method);
  headers.append(':scheme', 'http');
  parseFields(text, fields + 2, head, limits.maxHeaders, true);
  if (method === 'CONNECT' || target.charCodeAt(0) !== SLASH) applyTargetForm(head, target);
  if (head.minorVersion === 0 && head.chunked) {
    throw new ProtocolError(400, 'Transfer-Encoding in an HTTP/1.0 request');
  }
  return head;
}

/**
 * Parses a response's head.
 * @throws ProtocolError (its status is of no use: a bad upstream is a 502).
 */
export function parseResponseHead(text: string, limits: HeadLimits): MessageHead {
  const head = new MessageHead();
  head.minorVersion = readVersion(text, 0);
  const lineEnd = text.indexOf('\r\n');
  const a = text.charCodeAt(9);
  const b = text.charCodeAt(10);
  const c = text.charCodeAt(11);
  if (text.charCodeAt(8) !== SPACE || a <= DIGIT_0 || a > DIGIT_9 || !isDigit(b) || !isDigit(c)) {
    throw new ProtocolError(502, 'the status line has no three-digit status');
  }
  if (lineEnd > 12 && text.charCodeAt(12) !== SPACE)
    throw new ProtocolError(502, 'the status is not followed by a blank');
  if (!isAll(text, 12, lineEnd, FIELD_VALUE))
    throw new ProtocolError(502, 'the reason phrase holds a control character');
  head.status = (a - DIGIT_0) * 100 + (b - DIGIT_0) * 10 + (c - DIGIT_0);
  head.reason = text.slice(13, lineEnd);
  head.headers.append(':status', text.slice(9, 12));
  parseFields(text, lineEnd + 2, head, limits.maxHeaders, false);
  if (head.status === 101 && head.upgrade === undefined) throw new ProtocolError(502, 'a 101 that names no protocol');
  return head;
}

/** Parses the trailer section; fields that frame or route a message are refused. Source: RFC 9110, section 6.5.1. */
export function parseTrailers(text: string, limits: HeadLimits): HeaderMap {
  const trailers = new HeaderMap();
  let position = 0;
  while (position < text.length) {
    if (trailers.size >= limits.maxHeaders) throw new ProtocolError(431, 'too many trailers');
    const field = readField(text, position);
    if (FORBIDDEN_TRAILERS.has(field.name)) throw new ProtocolError(400, `the field ${field.name} can't be a trailer`);
    trailers.append(field.name, field.value);
    position = field.next;
  }
  return trailers;
}

const FORBIDDEN_TRAILERS = new Set([
  'content-length',
  'transfer-encoding',
  'host',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'expect',
  'keep-alive',
  'proxy-connection',
  'content-encoding',
  'content-type',
  'authorization',
]);

/** One object per well-known method, so that comparing methods compares pointers. */
const knownMethods = new Map(
  ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'CONNECT'].map((name) => [name, name]),
);

function isDigit(code: number): boolean {
  return code >= DIGIT_0 && code <= DIGIT_9;
}

function readVersion(text: string, at: number): number {
  if (text.startsWith('HTTP/1.1', at)) return 1;
  if (text.startsWith('HTTP/1.0', at)) return 0;
  if (/^HTTP\/[0-9]\.[0-9](?:\r\n| )/.test(text.slice(at, at + 10))) {
    throw new ProtocolError(505, 'only HTTP/1.0 and HTTP/1.1 are spoken here');
  }
  throw new ProtocolError(400, 'the start line names no HTTP version');
}

/** The field line at `position`: one reused object, so that a head costs no object per field. */
const field = { name: '', value: '', next: 0 };

function readField(text: string, position: number): typeof field {
  let nameEnd = position;
  while (((CLASS[text.charCodeAt(nameEnd)] as number) & TOKEN) !== 0) nameEnd++;
  if (text.charCodeAt(nameEnd) !== COLON || nameEnd === position) throw badFieldName(text, position, nameEnd);
  let start = nameEnd + 1;
  let code = text.charCodeAt(start);
  while (code === SPACE || code === TAB) code = text.charCodeAt(++start);
  let end = start;
  while (((CLASS[text.charCodeAt(end)] as number) & FIELD_VALUE) !== 0) end++;
  if (text.charCodeAt(end) !== 13 || text.charCodeAt(end + 1) !== 10) {
    throw new ProtocolError(400, 'a field value holds a control character, or a bare CR or LF');
  }
  field.next = end + 2;
  while (end > start && (text.charCodeAt(end - 1) === SPACE || text.charCodeAt(end - 1) === TAB)) end--;
  field.name = lowerCase(text.slice(position, nameEnd));
  field.value = text.slice(start, end);
  return field;
}

function badFieldName(text: string, position: number, nameEnd: number): ProtocolError {
  const code = text.charCodeAt(nameEnd);
  if (nameEnd === position && (code === SPACE || code === TAB)) {
    return new ProtocolError(400, 'a folded field line (obs-fold) is not accepted');
  }
  if (code === SPACE || code === TAB) return new ProtocolError(400, 'blank between a field name and its colon');
  return new ProtocolError(400, 'a field name is empty or holds a character that is not allowed there');
}

function parseFields(text: string, start: number, head: MessageHead, maxHeaders: number, request: boolean): void {
  const headers = head.headers;
  let position = start;
  let count = 0;
  let hosts = 0;
  let connection = '';
  let upgrade: string | undefined;
  while (position < text.length) {
    if (++count > maxHeaders) throw new ProtocolError(431, 'too many header fields');
    const { name, value, next } = readField(text, position);
    position = next;
    switch (name) {
      case 'host':
        if (!request) {
          headers.append('host', value);
          break;
        }
        if (++hosts > 1) throw new ProtocolError(400, 'more than one Host');
        if (!isAll(value, 0, value.length, AUTHORITY)) throw new ProtocolError(400, 'the Host is not valid');
        headers.replaceAt(0, value);
        break;
      case 'content-length':
        if (head.contentLength >= 0) throw new ProtocolError(400, 'more than one Content-Length');
        head.contentLength = readContentLength(value);
        headers.append(name, value);
        break;
      case 'transfer-encoding':
        if (head.chunked) throw new ProtocolError(400, 'more than one Transfer-Encoding');
        checkTransferEncoding(value);
        head.chunked = true;
        break;
      case 'connection':
        connection = connection === '' ? value : `${connection},${value}`;
        break;
      case 'upgrade':
        upgrade = upgrade === undefined ? value : `${upgrade}, ${value}`;
        break;
      case 'expect':
        if (!request) headers.append(name, value);
        else if (value.toLowerCase() !== '100-continue') throw new ProtocolError(417, `unknown expectation`);
        else head.expectsContinue = head.minorVersion === 1;
        break;
      case 'te':
        if (lowerCase(value) === 'trailers') headers.append(name, 'trailers');
        break;
      case 'keep-alive':
      case 'proxy-connection':
        break;
      default:
        headers.append(name, value);
    }
  }
  if (head.chunked && head.contentLength >= 0) {
    throw new ProtocolError(400, 'both Content-Length and Transfer-Encoding');
  }
  if (request && hosts === 0 && head.minorVersion === 1) throw new ProtocolError(400, 'no Host');
  applyConnection(head, connection, upgrade);
}

/** Connection options and the fields that they name. Source: RFC 9110, section 7.6.1. */
function applyConnection(head: MessageHead, connection: string, upgrade: string | undefined): void {
  head.keepAlive = head.minorVersion === 1;
  if (connection === '') return;
  const options = lowerCase(connection);
  if (options === 'keep-alive') {
    head.keepAlive = true;
    return;
  }
  let close = false;
  for (const part of options.split(',')) {
    const option = part.trim();
    if (option === 'close') close = true;
    else if (option === 'keep-alive') head.keepAlive = true;
    else if (option === 'upgrade') {
      if (upgrade !== undefined && upgrade !== '' && head.minorVersion === 1) {
        head.upgrade = upgrade;
        head.headers.append('upgrade', upgrade);
      }
    } else if (!END_TO_END.has(option) && option.charCodeAt(0) !== COLON) head.headers.remove(option);
  }
  if (close) head.keepAlive = false;
}

/** Fields that a Connection header can't take away: without them the message would mean something else. */
const END_TO_END = new Set(['', 'host', 'content-length', 'cookie', 'authorization', 'set-cookie', 'location']);

function readContentLength(value: string): number {
  if (value.length === 0 || value.length > 15) throw new ProtocolError(400, 'the Content-Length is not a number');
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (!isDigit(code)) throw new ProtocolError(400, 'the Content-Length is not a number');
    length = length * 10 + (code - DIGIT_0);
  }
  return length;
}

function checkTransferEncoding(value: string): void {
  const lower = lowerCase(value);
  if (lower === 'chunked') return;
  if (/(?:^|,)[ \t]*chunked[ \t]*$/.test(lower) && !/chunked[ \t]*,/.test(lower)) {
    throw new ProtocolError(501, 'of the transfer codings only chunked is known');
  }
  throw new ProtocolError(400, 'the last transfer coding is not chunked');
}

/** Absolute, authority and asterisk form. Source: RFC 9112, section 3.2. */
function applyTargetForm(head: MessageHead, target: string): void {
  const headers = head.headers;
  if (head.method === 'CONNECT') {
    if (
      !/^(?:[^:[\]/?@]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$/.test(target) ||
      !isAll(target, 0, target.length, AUTHORITY)
    ) {
      throw new ProtocolError(400, 'the target of CONNECT is not host:port');
    }
    // What follows is the tunnel's (RFC 9110, section 9.3.6).
    if (head.chunked || head.contentLength > 0) throw new ProtocolError(400, 'a CONNECT request with a body');
    headers.set(':authority', target);
    headers.remove(':path');
    headers.remove(':scheme');
    return;
  }
  if (target === '*') {
    if (head.method !== 'OPTIONS') throw new ProtocolError(400, 'only OPTIONS has the target *');
    return;
  }
  const match = /^(https?):\/\/([^/?]*)(.*)$/i.exec(target);
  if (match === null) throw new ProtocolError(400, 'the request target is neither a path nor an http URL');
  const [, scheme, authority, path] = match as unknown as [string, string, string, string];
  if (authority === '' || !isAll(authority, 0, authority.length, AUTHORITY)) {
    throw new ProtocolError(400, 'the authority of the request target is not valid');
  }
  headers.set(':authority', authority);
  headers.set(':scheme', scheme.toLowerCase());
  headers.set(':path', path.startsWith('/') ? path : `/${path}`);
}
