// What reaches the world by WASI.

import * as log from "squall:script/log";
import { getArguments, getEnvironment } from "wasi:cli/environment";
import { getStderr } from "wasi:cli/stderr";
import { getStdout } from "wasi:cli/stdout";
import { holds } from "./claims.js";

/** What the user granted of the environment. */
export function variables() {
  return new Map(getEnvironment());
}

/**
 * An environment variable that the case needs.
 *
 * @param {string} name
 */
export function variable(name) {
  const value = variables().get(name);
  if (value === undefined) throw new Error(`\`${name}\`: environment variable not found`);
  return value;
}

/** Logs the whole environment, which is what was granted. */
export function environment() {
  const names = getEnvironment().map(([name]) => name);
  log.write("info", `environment: ${names.sort().join(",")}`);
  log.write("info", `arguments: ${getArguments().length}`);
  holds("it is the value that was granted", variable("GRANTED") === "a value = with, signs");
}

export function print() {
  /** @param {string} text */
  const bytes = (text) => Uint8Array.from(text, (sign) => sign.charCodeAt(0));
  using stdout = getStdout();
  using stderr = getStderr();
  stdout.blockingWriteAndFlush(bytes("print: to stdout\n"));
  stderr.blockingWriteAndFlush(bytes("print: to stderr\n"));
  stdout.blockingWriteAndFlush(bytes("print: two\nprint: lines\n"));
  stdout.blockingWriteAndFlush(bytes("print: in "));
  stdout.blockingWriteAndFlush(bytes("pieces\n"));
  stdout.blockingWriteAndFlush(bytes("print: without an end"));
}
