/** What `behaviour.wit` takes of WASI. */
declare module "wasi:cli/environment" {
  export function getEnvironment(): [string, string][];
  export function getArguments(): string[];
}

declare module "wasi:cli/stdout" {
  import type { OutputStream } from "wasi:io/streams";
  export function getStdout(): OutputStream;
}

declare module "wasi:cli/stderr" {
  import type { OutputStream } from "wasi:io/streams";
  export function getStderr(): OutputStream;
}

declare module "wasi:io/streams" {
  export class OutputStream {
    blockingWriteAndFlush(contents: Uint8Array): void;
    [Symbol.dispose](): void;
  }
}
