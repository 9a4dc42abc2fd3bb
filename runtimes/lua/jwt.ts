/** JSON Web Tokens for scripts, by the library jose. Source: RFC 7519, RFC 7515. */
import { createLocalJWKSet, decodeProtectedHeader, importJWK, importSPKI, importX509, type JWK, jwtVerify } from 'jose';
import type { Json } from '../../src/abi/index.ts';

export type TokenResult = { claims: Json } | { reason: string };

type Key = Parameters<typeof jwtVerify>[1];

const ALGORITHMS = {
  secret: ['HS256', 'HS384', 'HS512'],
  public: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'],
};

/** Checks signature, expiry and the asked claims; never throws. */
export async function verifyToken(token: string, key: Json, options: Json): Promise<TokenResult> {
  const asked = typeof options === 'object' && options !== null && !Array.isArray(options) ? options : {};
  try {
    // A secret never verifies what claims to be signed by a private key, nor the other way round.
    const isSecret = typeof key === 'string' && !key.includes('-----BEGIN ');
    const algorithms = strings(asked.algorithms) ?? (isSecret ? ALGORITHMS.secret : ALGORITHMS.public);
    const { alg = '' } = decodeProtectedHeader(token);
    if (!algorithms.includes(alg)) return { reason: `the algorithm ${JSON.stringify(alg)} is not allowed` };
    const issuer = strings(asked.issuer);
    const audience = strings(asked.audience);
    const { payload } = await jwtVerify(token, (await importKey(key, alg)) as Key, {
      algorithms,
      ...(issuer === undefined ? {} : { issuer }),
      ...(audience === undefined ? {} : { audience }),
      clockTolerance: typeof asked.leeway === 'number' ? asked.leeway : 0,
    });
    return { claims: payload as Json };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

async function importKey(key: Json, algorithm: string): Promise<unknown> {
  if (typeof key === 'string') {
    if (key.includes('-----BEGIN CERTIFICATE-----')) return await importX509(key, algorithm);
    return key.includes('-----BEGIN ') ? await importSPKI(key, algorithm) : new TextEncoder().encode(key);
  }
  if (typeof key !== 'object' || key === null || Array.isArray(key)) throw new Error('the key is neither text nor JWK');
  if (Array.isArray(key.keys)) return createLocalJWKSet({ keys: key.keys as unknown as JWK[] });
  return await importJWK(key as unknown as JWK, algorithm);
}

function strings(value: Json | undefined): string[] | undefined {
  if (typeof value === 'string') return [value];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : undefined;
}
