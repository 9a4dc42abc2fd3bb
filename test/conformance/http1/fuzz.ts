/** The whole differential run: `node test/conformance/http1/fuzz.ts [messages] [seed]`, by default a million of them. */
import { runMutations } from './differential.ts';

const count = Number(process.argv[2] ?? 1_000_000);
const seed = Number(process.argv[3] ?? 42);
const findings = (['request', 'response'] as const).flatMap((kind) => runMutations(kind, Math.ceil(count / 2), seed));
for (const { kind, input, what } of findings.slice(0, 20)) {
  process.stdout.write(`${kind} ${JSON.stringify(input)}\n  ${what}\n`);
}
process.stdout.write(
  `${count} mutated messages, seed ${seed}: ${findings.length} unexplained differences from llhttp\n`,
);
process.exitCode = findings.length === 0 ? 0 : 1;
