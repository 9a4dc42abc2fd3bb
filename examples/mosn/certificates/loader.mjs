// A source of certificates as MOSN starts it: the answer's body is JSON with `cert_pem`, `key_pem` and `ca_pem`. It knows nothing of Weir.
import 'reflect-metadata';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { X509CertificateGenerator } from '@peculiar/x509';
import protobuf from 'protobufjs';

const { root } = protobuf.parse(`syntax = "proto3"; package proto;
message Request { map<string,string> header = 1; map<string,string> trailer = 2; bytes body = 3; string type = 4; }
message Response { map<string,string> header = 1; map<string,string> trailer = 2; bytes body = 3; int32 status = 4; }`);
const [Request, Response] = [root.lookupType('proto.Request'), root.lookupType('proto.Response')];

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
const certificate = await X509CertificateGenerator.createSelfSigned({
  name: 'CN=localhost',
  keys,
  notAfter: new Date(Date.now() + 7 * 24 * 3_600_000),
  signingAlgorithm: algorithm,
});
const key = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
const pair = {
  cert_pem: certificate.toString('pem'),
  key_pem: `-----BEGIN PRIVATE KEY-----\n${key.match(/.{1,64}/g).join('\n')}\n-----END PRIVATE KEY-----\n`,
  ca_pem: '',
};

const server = new Server();
server.register(
  '/proto.Plugin/Call',
  (_call, callback) => callback(null, { body: Buffer.from(JSON.stringify(pair)) }),
  (response) => Response.encode(response).finish(),
  (bytes) => Request.decode(bytes),
  'unary',
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`1|1|tcp|127.0.0.1:${port}|grpc`);
});
