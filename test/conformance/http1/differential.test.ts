/** The codec against llhttp in strict mode. `npm run test:fuzz` runs a million messages; here is a share of them. */
import { expect, test } from 'vitest';
import { corpusOf } from './corpus.ts';
import { checkEverySplit, runMutations } from './differential.ts';

const SHARE = 50_000;

test.each(['request', 'response'] as const)('every %s of the corpus agrees with llhttp, cut at every byte', (kind) => {
  const findings = corpusOf(kind).map((input) => ({ input, what: checkEverySplit(kind, input) }));
  expect(findings.filter(({ what }) => what !== undefined)).toEqual([]);
});

test.each(['request', 'response'] as const)(
  `${SHARE} mutated %ss agree with llhttp or differ for a listed reason`,
  (kind) => {
    expect(runMutations(kind, SHARE, 1).slice(0, 5)).toEqual([]);
  },
);
