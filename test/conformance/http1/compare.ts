/** Where Weir's parser and llhttp may differ, and why; everything else is a fault. */
import type { Kind, Outcome } from './oracle.ts';

interface KnownDifference {
  /** Weir's words where only Weir rejects, llhttp's where only llhttp does. */
  words: RegExp;
  /** What the input must hold besides. */
  input?: RegExp;
  reason: string;
}

/** Only Weir rejects. The safe direction: what Weir does not understand exactly, no upstream gets to see. */
export const STRICTER: readonly KnownDifference[] = [
  {
    words: /^no Host$|^more than one Host$|^the Host is not valid$/,
    reason: 'exactly one valid Host (RFC 9112, 3.2); llhttp leaves it to the program',
  },
  {
    words: /request target|target of CONNECT|OPTIONS has the target/,
    reason: 'only the four forms of RFC 9112, 3.2; llhttp takes #, HTTP/0.9 and more',
  },
  { words: /only HTTP\/1\.0 and HTTP\/1\.1/, reason: 'llhttp also takes HTTP/0.9 and HTTP/2.0 in a start line' },
  {
    words: /names no HTTP version|does not end after the version|method and one blank/,
    reason: 'one blank between the parts of a start line, no empty start',
  },
  {
    words: /transfer coding|more than one Transfer-Encoding/,
    reason: 'chunked alone; llhttp leaves other codings to the program',
  },
  { words: /Transfer-Encoding in an HTTP\/1\.0/, reason: 'RFC 9112, 6.1: such a message is faulty' },
  { words: /^unknown expectation$/, reason: '417 (RFC 9110, 10.1.1); llhttp does not look at it' },
  { words: /can't be a trailer/, reason: 'fields that frame or route a message are no trailers (RFC 9110, 6.5.1)' },
  {
    words: /bare LF|bare CR|NUL in the head/,
    input: /[\r\n\0]/,
    reason: 'llhttp skips line ends of any kind before a message',
  },
  {
    words: /reason phrase holds a control|no three-digit status|not followed by a blank/,
    reason: 'llhttp takes anything after the status',
  },
  { words: /a 101 that names no protocol/, reason: 'RFC 9110, 15.2.2: a 101 has an Upgrade field' },
  {
    words: /a CONNECT request with a body/,
    reason: 'RFC 9110, 9.3.6: its content has no meaning, so it is a tunnel to one and a body to another',
  },
  {
    words: /ended in the middle of a message/,
    reason: 'llhttp does not mind line ends, or a part of one, where a message might begin',
  },
  { words: /bytes after the last message/, reason: 'llhttp skips line ends after it; Weir reads nothing' },
  { words: /both Content-Length and Transfer-Encoding/, reason: 'refused on both sides (RFC 9112, 6.1)' },
  {
    words: /chunk size or extension is malformed/,
    reason: 'the whole grammar of extensions (RFC 9112, 7.1.1); llhttp allows some without a name',
  },
  {
    words: /Content-Length is not a number/,
    input: /Content-Length:[ \t]*[0-9]{16,}/i,
    reason: 'at most 15 digits, which is an exact number; llhttp takes 64 bits and leading zeros',
  },
  {
    words: /chunk|trailer|middle of a message/,
    input: /Transfer-Encoding:[ \t]*chunked[ \t]*\t/i,
    reason:
      'a tab is optional white space around a value (RFC 9110, 5.6.3); llhttp takes the coding for an unknown one',
  },
  {
    words: /field line|field name|field value|Content-Length|chunk|trailers|header fields/,
    input: /HTTP\/1\.1 101 /,
    reason: 'llhttp reads what follows a 101 without Upgrade as the body of a message without end',
  },
];

/** Only llhttp rejects. Each must be harmless by the RFC's own words. */
export const LOOSER: readonly KnownDifference[] = [
  {
    words: /^Invalid method encountered$|^Expected space after method$/,
    reason: 'any token is a method (RFC 9110, 9.1); llhttp has a list',
  },
  {
    words: /^Expected .*HTTP\/.*$/,
    reason: 'a consequence of the list of methods: SOURCE is a method of ICE for llhttp',
  },
  {
    words: /^Invalid character in Content-Length$/,
    input: /Content-Length:[ \t]*[0-9]+[ \t]*\t[ \t]*\r\n/i,
    reason: 'a tab is optional white space around a value (RFC 9110, 5.6.3)',
  },
  {
    words: /^Request has invalid `Transfer-Encoding`$/,
    input: /Transfer-Encoding:[ \t]*chunked[ \t]*\t[ \t]*\r\n/i,
    reason: 'the same',
  },
  {
    words: /^Data after `Connection: close`$/,
    input: /Connection:[ \t]*(?:[^\r\n]*\t|keep-alive[^\r\n]*,)|HTTP\/1\.[01] 1[0-9][0-9]/i,
    reason: 'a tab after keep-alive (white space); or an interim response, after which the final one must follow',
  },
];

/** Differences in what the messages are. */
const OTHER: readonly { input: RegExp; kind: Kind; reason: string }[] = [
  {
    kind: 'response',
    input: /HTTP\/1\.[01] 1(?!01)[0-9][0-9]/,
    reason: 'no 1xx has a body (RFC 9112, 6.3); llhttp gives one to those that it does not know',
  },
  {
    kind: 'response',
    input: /Transfer-Encoding:[ \t]*chunked[ \t]*\t/i,
    reason: 'a tab is optional white space around a value; llhttp takes the coding for an unknown one',
  },
  {
    kind: 'request',
    input: /HTTP\/1\.0\r\n(?:[^\r\n]+\r\n)*Upgrade:/i,
    reason: 'Upgrade in HTTP/1.0 is ignored (RFC 9110, 7.8)',
  },
];

/** `undefined` when the outcomes agree or their difference is known; otherwise what differs. */
export function difference(kind: Kind, input: string, weir: Outcome, llhttp: Outcome): string | undefined {
  const found = firstDifference(weir, llhttp);
  if (found === undefined) return undefined;
  const { what, words, known } = found;
  if (known.some((entry) => entry.words.test(words) && (entry.input?.test(input) ?? true))) return undefined;
  if (OTHER.some((entry) => entry.kind === kind && entry.input.test(input))) return undefined;
  return what;
}

function firstDifference(
  weir: Outcome,
  llhttp: Outcome,
): { what: string; words: string; known: readonly KnownDifference[] } | undefined {
  const common = Math.min(weir.messages.length, llhttp.messages.length);
  for (let i = 0; i < common; i++) {
    const [a, b] = [JSON.stringify(weir.messages[i]), JSON.stringify(llhttp.messages[i])];
    if (a !== b) return { what: `message ${i}: ${a}, llhttp ${b}`, words: '', known: [] };
  }
  if (weir.rejected && (!llhttp.rejected || llhttp.messages.length > common)) {
    return { what: `only Weir rejects: ${weir.reason}`, words: weir.reason, known: STRICTER };
  }
  if (llhttp.rejected && (!weir.rejected || weir.messages.length > common)) {
    return { what: `only llhttp rejects: ${llhttp.reason}`, words: llhttp.reason, known: LOOSER };
  }
  if (weir.messages.length === llhttp.messages.length) return undefined;
  return { what: `${weir.messages.length} messages, llhttp ${llhttp.messages.length}`, words: '', known: [] };
}
