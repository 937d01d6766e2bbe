// Made from the .wit files beside it by `ci/types`.

/**
 * Rows of test data: logins, search terms, article numbers.
 *
 * The user names the files with `--data NAME=FILE`, and says in which order
 * their rows are dealt out and what happens when they are used up. The host
 * reads them; all VUs share them, and no VU holds more than its own row.
 */
declare module "squall:script/data" {
  /**
   * A column's name and this row's value. Of JSON, a key and its value: the
   * text of a string, and of anything else its JSON.
   */
  export type Field = [string, string];
  /** A row, in the order of its columns. */
  export type Row = Field[];
  /**
   * The rows of one file. CSV, JSON and NDJSON are read alike, so a file can
   * be exchanged for one of another format.
   */
  export class Source {
    /**
     * The next row, in the order that `--data` asks for: sequential, random,
     * or unique.
     *
     * An `err` means that the rows are used up and are not to begin anew. The
     * host then ends this VU after this iteration, or the whole run, as
     * `--data` says. Return, in whatever way is shortest: an iteration that
     * ends with an `err`, an exception or a trap after this does not count as
     * failed, but as one that never was.
     */
    nextRow(): Row;
    /** The same as the text of a JSON object. A row of CSV has strings only. */
    nextJson(): string;
    /** How many rows there are, on all workers together. */
    len(): number;
    /**
     * The row at an index, from 0, whatever the order. Does not use it up.
     * Absent if there is no such row.
     */
    row(index: number): Row | null;
    /** The same as the text of a JSON object. */
    json(index: number): string | null;
    private constructor();
    /** Lets go of it; `using` does so at the end of a block. */
    [Symbol.dispose](): void;
  }
  /**
   * Opens the source of this name. An `err` says which names there are. In
   * `on-start` or on first use is the place for it: a source can be used for
   * as long as the VU lives.
   */
  export function open(name: string): Source;
}

/** Where in the run this iteration is, and control over it. */
declare module "squall:script/execution" {
  /** This VU's number, from 1, unique across all workers. */
  export function vuId(): number;
  /** This VU's iteration, from 0. */
  export function iteration(): number;
  /**
   * The scenario this iteration belongs to. A script that serves several
   * branches on it.
   */
  export function scenario(): string;
  /**
   * Tags everything this VU reports from here to the end of the iteration, or
   * removes the tag again.
   */
  export function setTag(name: string, value: string | null): void;
  /** Ends this VU after this iteration. */
  export function stopVu(): void;
  /** Ends the whole run, on every worker, as failed. */
  export function abortRun(reason: string): void;
}

/**
 * HTTP requests, sent and timed by the host.
 *
 * Every call blocks the calling VU and no other. Each VU has its own
 * connections and its own cookies, like a browser. The host measures each
 * request and hands it to the recorders; a script never times a request
 * itself.
 *
 * A request that fails is a measurement, not an exception: every function
 * returns a `response`, with status 0 and an `error` if none arrived.
 *
 * A relative URL is resolved against the run's `--base-url`.
 */
declare module "squall:script/http" {
  /**
   * A request that is sent often: checked and parsed once, then sent with one
   * cheap call. Made in `on-start` or on first use, it lives as long as the VU.
   */
  export class PreparedRequest {
    constructor(request: Request);
    /** Sends it, as `send` would. */
    send(): Response;
    /** Lets go of it; `using` does so at the end of a block. */
    [Symbol.dispose](): void;
  }
  /** A header: its name and its value. Names are case-insensitive. */
  export type Header = [string, string];
  /** A request for `send` and `batch`. */
  export interface Request {
    /** The method, as it goes over the wire: `OPTIONS`. */
    method: string;
    url: string;
    body?: Body | null;
    params?: Params | null;
  }
  /**
   * What to send. Each case but `bytes` sets a `content-type`, unless a header
   * already does.
   */
  export type Body =
    /** Sent as it is. */
    | { tag: "bytes"; val: Uint8Array }
    /** `text/plain; charset=utf-8` */
    | { tag: "text"; val: string }
    /** `application/json`. The text is sent as it is and not checked. */
    | { tag: "json"; val: string }
    /** `application/x-www-form-urlencoded`. The host does the encoding. */
    | { tag: "form"; val: [string, string][] };
  /**
   * How to send and judge one request. Every field may be left out, and the
   * all-empty value is the default.
   */
  export interface Params {
    /**
     * The name to report this request under, in place of its path. Give one
     * to every URL that holds an id: `/item/[id]`.
     */
    name?: string | null;
    /** Headers to add. */
    headers?: Header[] | null;
    /** Tags to add to this request's measurements. */
    tags?: [string, string][] | null;
    /**
     * Give up after so long, connecting and body included. The default is the
     * run's `--http-timeout`.
     */
    timeoutMs?: number | null;
    /**
     * How many redirects to follow. 0 returns the redirect itself. The default
     * is 10.
     */
    maxRedirects?: number | null;
    /** The statuses that count as success. The default is 200 to 399. */
    expectStatus?: number[] | null;
    /**
     * Let the script decide whether the request succeeded, with
     * `response.success` or `response.failure`. The request is reported when
     * one of them is called, or when the response is dropped or the iteration
     * ends, judged by its status.
     */
    catchResponse?: boolean | null;
    /** Read the body off the wire but do not keep it. */
    discardBody?: boolean | null;
  }
  /**
   * What came of a request. It stays with the host until it is asked for: an
   * unread body is never copied into the script. A body that is larger than
   * the VU's memory limit is an error, unless it is discarded.
   *
   * Valid until the iteration ends: a response kept longer must not be used.
   */
  export class Response {
    /** The status, or 0 if no response arrived. */
    status(): number;
    /** Whether the request counts as a success so far. */
    ok(): boolean;
    /** Why no response arrived. */
    error(): Error | null;
    /** The URL that answered, redirects followed. */
    url(): string;
    /** The first value of a header. */
    header(name: string): string | null;
    /** All headers, in the order in which they came. */
    headers(): Header[];
    /** The body. Empty after `discard-body`. */
    body(): Uint8Array;
    /** The body as text. Bytes that are not UTF-8 become U+FFFD. */
    text(): string;
    /**
     * The JSON value at a JSON Pointer (RFC 6901), as JSON text. The host
     * parses the body once, and only what is asked for is copied. Absent if
     * the body is not JSON or has no such value.
     */
    json(pointer: string): string | null;
    /** From the start of the request to the last byte of its body. */
    durationMs(): number;
    /** From the start of the request to the end of the response's headers. */
    firstByteMs(): number;
    /**
     * Counts the request as a success, whatever its status. Only after
     * `catch-response`; otherwise it does nothing but warn.
     */
    success(): void;
    /**
     * Counts the request as a failure, with the message under which failures
     * are grouped. Only after `catch-response`, as `success`.
     */
    failure(message: string): void;
    private constructor();
    /** Lets go of it; `using` does so at the end of a block. */
    [Symbol.dispose](): void;
  }
  /** Why no response arrived. */
  export interface Error {
    kind: ErrorKind;
    /** For a log, not for matching on. */
    message: string;
  }
  /** The kinds of error. New ones are reported as `other`. */
  export type ErrorKind =
    /** The URL, a header or the method is malformed. Nothing was sent. */
    | "invalid-request"
    | "dns"
    | "connect"
    | "tls"
    | "timeout"
    /** The connection closed or broke before the response was complete. */
    | "closed"
    | "too-many-redirects"
    | "other";
  /** Sends a GET request. */
  export function get(url: string, params: Params | null): Response;
  /** Sends a HEAD request. */
  export function head(url: string, params: Params | null): Response;
  /** Sends a DELETE request. */
  function delete_(url: string, params: Params | null): Response;
  export { delete_ as delete };
  /** Sends a POST request. */
  export function post(url: string, body: Body | null, params: Params | null): Response;
  /** Sends a PUT request. */
  export function put(url: string, body: Body | null, params: Params | null): Response;
  /** Sends a PATCH request. */
  export function patch(url: string, body: Body | null, params: Params | null): Response;
  /** Sends a request with any method. */
  export function send(request: Request): Response;
  /**
   * Sends several requests at once and waits for all of them. The responses
   * come in the order of the requests.
   */
  export function batch(requests: Request[]): Response[];
  /**
   * Sets a header on every later request of this VU, prepared ones included,
   * or removes it again. A header in `params` wins over one set here.
   */
  export function setHeader(name: string, value: string | null): void;
}

/**
 * Messages for the run's log.
 *
 * What a script prints is logged too, at `info`. Logging is for rare things: a
 * VU's messages beyond the run's limit are counted, not kept.
 */
declare module "squall:script/log" {
  /** How much a message matters. */
  export type Level =
    | "debug"
    | "info"
    | "warn"
    | "error";
  /** Logs a message, with the VU's number and iteration. */
  export function write(level: Level, message: string): void;
}

/**
 * Checks and metrics of the script's own. The host's metrics (requests,
 * iterations, data) need no call.
 *
 * A metric exists from its first use, and its name keeps the type of that use:
 * another use under the same name is dropped, with a warning. So is a value
 * that is not a finite number.
 */
declare module "squall:script/metrics" {
  /**
   * Records whether something held, and returns it, so that a script can go
   * on from it. A failed check fails neither the request nor the iteration.
   */
  export function check(name: string, passed: boolean): boolean;
  /** Adds to a counter. */
  export function counterAdd(name: string, amount: number): void;
  /** Sets a gauge. */
  export function gaugeSet(name: string, value: number): void;
  /** Adds to a rate: the share of `true`. */
  export function rateAdd(name: string, hit: boolean): void;
  /** Adds to a trend: a distribution, reported with its percentiles. */
  export function trendAdd(name: string, value: number): void;
}

/**
 * Random numbers that differ from VU to VU and repeat from run to run.
 *
 * The host seeds one stream per VU from the run's `--seed`. Prefer it to your
 * language's own source: pre-initialised scripts (JavaScript, for one) start
 * every VU from the same frozen seed.
 */
declare module "squall:script/random" {
  /** A number from 0 (included) to 1 (excluded). */
  export function uniform(): number;
  /** A whole number between two bounds, both included, in whichever order. */
  export function between(min: number, max: number): number;
  /** So many random bytes, at most 1 MiB; more is a trap. */
  export function bytes(count: number): Uint8Array;
}

/**
 * Waiting, and measuring more than one request.
 *
 * Sleep with these functions, not in a loop of your own: a sleeping VU costs
 * the host nothing. A duration that is negative or not a number is 0.
 */
declare module "squall:script/timing" {
  /**
   * A stretch of the script to be measured as a whole, such as a login of
   * three requests. One that is dropped before it was stopped is not reported,
   * with a warning.
   */
  export class Transaction {
    /** Starts the clock. */
    constructor(name: string);
    /**
     * Stops the clock and reports the transaction as a success. Returns how
     * long it took. Only the first stop counts.
     */
    finishMs(): number;
    /** Stops the clock and reports the transaction as a failure. */
    failMs(message: string): number;
    /** Lets go of it; `using` does so at the end of a block. */
    [Symbol.dispose](): void;
  }
  /** Milliseconds since the run started on this node. Never goes back. */
  export function nowMs(): number;
  /** Milliseconds since the Unix epoch, as in JavaScript's `Date.now()`. */
  export function wallClockMs(): number;
  /** Sleeps. Returns early when the VU is told to stop. */
  export function sleepMs(durationMs: number): void;
  /**
   * Sleeps for a random time, evenly spread between two bounds: a user's
   * think time.
   */
  export function sleepBetweenMs(minMs: number, maxMs: number): void;
  /**
   * Sleeps for what is left of a period that began with this iteration, so
   * that iterations start at a steady pace. Does not sleep if the iteration
   * has already taken longer.
   */
  export function paceMs(periodMs: number): void;
}

/** The virtual user: the one thing every script provides. */
declare module "squall:script/user" {
  export interface User {
    /**
     * Plays one iteration.
     *
     * The host calls this again and again, as the scenario's executor says. One
     * instance of the script serves one VU for the whole run, so its globals
     * last from one iteration to the next and are never shared with another VU.
     *
     * An `err`, an uncaught exception, or a trap marks the iteration as failed;
     * after a trap the VU goes on with a fresh instance, which runs `on-start`
     * again. A failed request alone does not fail the iteration.
     */
    iterate(): void;
  }
}

/** Hooks around the iterations. Export this interface only if you need it. */
declare module "squall:script/lifecycle" {
  export interface Lifecycle {
    /**
     * Runs once per test run, before any VU starts, on one node only. What it
     * returns (JSON, by habit) reaches every VU, on every worker. An `err` ends
     * the run.
     */
    setup(): string;
    /**
     * Runs in each VU before its first iteration, with what `setup` returned,
     * and again in each fresh instance after a trap. The place to log in. An
     * `err` ends this VU.
     */
    onStart(data: string): void;
    /** Runs in each VU after its last iteration, unless the VU was cut short. */
    onStop(): void;
    /**
     * Runs once per test run, after every VU has stopped, also when the run
     * failed.
     */
    teardown(data: string): void;
  }
}

/**
 * The script's own defaults for a run. Export this interface only if you need
 * it; the command line, the environment and the configuration file all win
 * over it.
 */
declare module "squall:script/options" {
  export interface Options {
    /** The options as JSON, in the schema of the configuration file. */
    defaults(): string;
  }
}
