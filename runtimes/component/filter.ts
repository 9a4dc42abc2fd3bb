/** The stream filter of a component: Weir's hooks as the component's exports, and what they return as changes. */
import { ExtensionError, FilterStatus, type HeaderMap, type Stream, type StreamFilter } from '../../src/abi/index.ts';
import type { Guest } from './instance.ts';

type Field = [string, string];
type Edit = { tag: 'set' | 'add'; val: Field } | { tag: 'remove'; val: string };
interface Reply {
  status: number;
  headers: Field[];
  body: Uint8Array;
}
type HeadersAction = { tag: 'pass' } | { tag: 'change' | 'hold'; val: Edit[] } | { tag: 'respond'; val: Reply };
type BodyAction =
  | { tag: 'pass' | 'keep' | 'drop' }
  | { tag: 'replace'; val: Uint8Array }
  | { tag: 'respond'; val: Reply };

/** A filter of one stream: its state. Its hooks are methods of the component's prototype. */
export interface ComponentFilter extends StreamFilter {
  guest: Guest;
  id: number;
  stream: Stream;
}

const EXPORTS = [
  'onRequestHeaders',
  'onRequestBody',
  'onRequestTrailers',
  'onResponseHeaders',
  'onResponseBody',
  'onResponseTrailers',
  'onComplete',
];

/** Hooks for the exports that the component has, so that others cost nothing. */
export function hooksOf(exports: readonly string[]): object {
  const hooks: StreamFilter & ThisType<ComponentFilter> = {
    onRequestHeaders(headers, end) {
      const { stream } = this;
      return after(this.guest.call('onRequestHeaders', this.id, [...headers], end), (action) =>
        takeHeaders(stream, headers, action as HeadersAction),
      );
    },
    onRequestBody(chunk, end) {
      const { stream } = this;
      return after(this.guest.call('onRequestBody', this.id, chunk, end), (action) =>
        takeBody(stream, action as BodyAction),
      );
    },
    onRequestTrailers(trailers) {
      return after(this.guest.call('onRequestTrailers', this.id, [...trailers]), (edits) =>
        takeEdits(trailers, edits as Edit[]),
      );
    },
    onResponseHeaders(headers, end) {
      const { stream } = this;
      return after(this.guest.call('onResponseHeaders', this.id, [...headers], end), (action) =>
        takeHeaders(stream, headers, action as HeadersAction),
      );
    },
    onResponseBody(chunk, end) {
      const { stream } = this;
      return after(this.guest.call('onResponseBody', this.id, chunk, end), (action) =>
        takeBody(stream, action as BodyAction),
      );
    },
    onResponseTrailers(trailers) {
      return after(this.guest.call('onResponseTrailers', this.id, [...trailers]), (edits) =>
        takeEdits(trailers, edits as Edit[]),
      );
    },
    onComplete() {
      if (this.guest.failed !== undefined) return;
      const { stream } = this;
      const done = this.guest.call('onComplete', this.id);
      if (done instanceof Promise)
        done.catch((error) => stream.log.error(`the component failed in on-complete: ${error.message}`));
    },
    onDestroy() {
      this.guest.close(this.id);
    },
  };
  return Object.fromEntries(
    Object.entries(hooks).filter(([name]) => !EXPORTS.includes(name) || exports.includes(name)),
  );
}

/** A component that may wait gives promises. */
function after<T>(result: unknown, take: (value: unknown) => T): T | Promise<T> {
  return result instanceof Promise ? result.then(take) : take(result);
}

function takeHeaders(stream: Stream, headers: HeaderMap, action: HeadersAction): FilterStatus {
  switch (action.tag) {
    case 'pass':
      return FilterStatus.Continue;
    case 'change':
    case 'hold':
      edit(headers, action.val);
      return action.tag === 'hold' ? FilterStatus.StopAndBuffer : FilterStatus.Continue;
    case 'respond':
      return respond(stream, action.val);
  }
}

function takeBody(stream: Stream, action: BodyAction): FilterStatus | Uint8Array {
  switch (action.tag) {
    case 'pass':
      return FilterStatus.Continue;
    case 'keep':
      return FilterStatus.StopAndBuffer;
    case 'drop':
      return FilterStatus.StopNoBuffer;
    case 'replace':
      return Uint8Array.from(action.val);
    case 'respond':
      return respond(stream, action.val);
  }
}

function takeEdits(trailers: HeaderMap, edits: Edit[]): FilterStatus {
  edit(trailers, edits);
  return FilterStatus.Continue;
}

function edit(headers: HeaderMap, edits: readonly Edit[]): void {
  for (const one of edits) {
    if (one.tag === 'remove') headers.remove(one.val);
    else if (one.tag === 'set') headers.set(one.val[0], one.val[1]);
    else if (one.tag === 'add') headers.add(one.val[0], one.val[1]);
    else throw new ExtensionError('contract', 'an edit is one of set, add and remove');
  }
}

function respond(stream: Stream, { status, headers, body }: Reply): FilterStatus {
  stream.respond(status, headers, Uint8Array.from(body), 'component_response');
  return FilterStatus.Stop;
}
