/** Runs mutated messages through both parsers, whole and cut, and collects what differs. */
import { difference } from './compare.ts';
import { corpusOf, mutate, randomOf } from './corpus.ts';
import { type Kind, type Outcome, runLlhttp, runWeir } from './oracle.ts';

export interface Finding {
  kind: Kind;
  input: string;
  what: string;
}

/** Checks `count` mutated messages of that kind; the same seed gives the same messages. */
export function runMutations(kind: Kind, count: number, seed: number): Finding[] {
  const corpus = corpusOf(kind);
  const random = randomOf(seed);
  const findings: Finding[] = [];
  for (let i = 0; i < count; i++) {
    const input = mutate(corpus[random(corpus.length)] as string, corpus, random);
    const bytes = Buffer.from(input, 'latin1');
    const first = random(bytes.length + 1);
    const second = first + random(bytes.length - first + 1);
    const what = check(kind, input, bytes, [[first, second]]);
    if (what !== undefined) findings.push({ kind, input, what });
  }
  return findings;
}

/** Checks one message, whole and cut at every position. */
export function checkEverySplit(kind: Kind, input: string): string | undefined {
  const bytes = Buffer.from(input, 'latin1');
  const cuts = Array.from({ length: bytes.length }, (_, at) => [at]);
  return check(kind, input, bytes, [...cuts, cuts.map(([at]) => at as number)]);
}

function check(kind: Kind, input: string, bytes: Buffer, cuts: readonly (readonly number[])[]): string | undefined {
  const whole = runWeir(kind, bytes);
  const found = difference(kind, input, whole, runLlhttp(kind, bytes));
  if (found !== undefined) return found;
  for (const at of cuts) {
    const cut = runWeir(kind, bytes, at);
    if (!same(whole, cut)) return `cut at ${at.join(', ')}: ${JSON.stringify(cut)}, whole ${JSON.stringify(whole)}`;
  }
  return undefined;
}

/** The reason may differ: of two faults, the first to be seen depends on what has come. */
function same(a: Outcome, b: Outcome): boolean {
  return a.rejected === b.rejected && JSON.stringify(a.messages) === JSON.stringify(b.messages);
}
