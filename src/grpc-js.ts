/** @grpc/grpc-js, loaded with the first use: most configurations have none. */
import { createRequire } from 'node:module';

export type Grpc = typeof import('@grpc/grpc-js');

let loaded: Grpc | undefined;

export function grpc(): Grpc {
  loaded ??= createRequire(import.meta.url)('@grpc/grpc-js') as Grpc;
  return loaded;
}
