// Made from the .wit files beside it by `ci/types`.

/**
 * The functions every recorder provides.
 *
 * The host calls them one at a time, never two at once. A recorder never slows
 * the load down: when it falls behind, the host drops events and says how many
 * in the next `events-dropped`. A recorder that traps, or takes longer than 10 s
 * for a call, is reported and starts afresh, which may happen three times; after
 * that it is left out of the rest of the run, which goes on. It may use 256 MiB
 * of memory and return 64 MiB from a call.
 */
declare module "squall:recorder/event-handler" {
  import type { Event, Interests, RunInfo } from "squall:recorder/events";
  /**
   * One log entry: the text of one JSON object. The host writes each as a
   * line of its own to the recorder's sink. What does not parse, or is longer
   * than 1 MiB, is left out and counted, and the first of it reported; the
   * recorder goes on.
   *
   * Several entries may come in one string, each on a line of its own: where
   * there are thousands, that spares both sides a string for each.
   */
  export type LogEntry = string;
  export interface EventHandler {
    /**
     * Runs once, before any event. Says which events to deliver beside those of
     * the run's life cycle, which always come. An `err` ends the run before it
     * starts. Runs again, in a fresh instance, after the recorder has failed.
     */
    start(run: RunInfo): Interests;
    /**
     * Handles a batch of events, in order. The log entries need not match the
     * events one to one.
     */
    handle(events: Event[]): LogEntry[];
    /** Runs once, after the last event: the place to write what was held back. */
    finish(): LogEntry[];
  }
}

/** The events of a test run. */
declare module "squall:recorder/events" {
  /** Something that happened. */
  export interface Event {
    /** When it happened. */
    timeMs: number;
    /** How long the run had been going. */
    elapsedMs: number;
    /** The node on which it happened: `standalone`, `master`, or `worker-1`. */
    node: string;
    /** What happened. */
    kind: EventKind;
  }
  /**
   * What happened.
   *
   * Treat the set as open and ignore what you do not know: a host newer than
   * your recorder sends events that have no case here as `other`.
   */
  export type EventKind =
    /** The run started. */
    | { tag: "run-started" }
    /** All the VUs that the plan asks for are running. */
    | { tag: "ramp-up-finished"; val: RampUp }
    /** The run is winding down: no new iterations start. */
    | { tag: "run-stopping"; val: StopReason }
    /** The run ended. The last event. */
    | { tag: "run-finished"; val: RunSummary }
    /** A worker joined, or came back. */
    | { tag: "worker-joined"; val: string }
    /** A worker left, or went silent. */
    | { tag: "worker-lost"; val: string }
    /** A threshold went from passing to failing, or back. */
    | { tag: "threshold-changed"; val: Threshold }
    /**
     * What a scenario is to do became another than the plan says: somebody, or
     * the plan's shape, set its target, or paused or resumed it.
     */
    | { tag: "load-changed"; val: LoadChange }
    /** The load is over, and the run's shape said what it found out, or failed. */
    | { tag: "shape-reported"; val: ShapeReport }
    /** So many events were dropped since the last one delivered. */
    | { tag: "events-dropped"; val: number }
    /** This node ran short of something, so that its measurements are in doubt. */
    | { tag: "resource-warning"; val: ResourceWarning }
    /** What a `resource-warning` warned of is over. */
    | { tag: "resource-recovered"; val: ResourceWarning }
    /**
     * Statistics of the run so far, over all workers. On the master, or on
     * the only node.
     */
    | { tag: "stats"; val: Stats }
    /**
     * What this node's process uses. On every node; at every system interval,
     * and not before there is something to tell, after 200 ms.
     */
    | { tag: "system"; val: SystemUsage }
    /**
     * Requests, transactions, iterations, checks and samples: those that were
     * asked for, many at a time. The event is as old as the last of them.
     */
    | { tag: "measured"; val: Measurements }
    /** The script failed: its message, and where it has one, its stack. */
    | { tag: "script-error"; val: ScriptError }
    /** The script logged or printed something. */
    | { tag: "log"; val: LogMessage }
    /** An event this version has no case for. */
    | { tag: "other"; val: OtherEvent };
  /**
   * The kinds of event to deliver beside the life cycle. A recorder that does
   * not ask for `requests` costs nothing per request.
   */
  export interface Interests {
    stats?: boolean;
    system?: boolean;
    requests?: boolean;
    transactions?: boolean;
    iterations?: boolean;
    checks?: boolean;
    samples?: boolean;
    scriptErrors?: boolean;
    logs?: boolean;
  }
  /** A tag: its name and its value. */
  export type Tag = [string, string];
  /** The run a recorder is part of. */
  export interface RunInfo {
    /** Unique to the run, and the same on every node. Sorts by time. */
    runId: string;
    /** The name the user gave to the test plan. */
    testPlan: string;
    /** The version of the host. */
    hostVersion: string;
    /** This node's part in the run. */
    role: Role;
    /** This node's name: the `node` of the events that happen here. */
    node: string;
    /** The name of the machine this node runs on. */
    hostname: string;
    /** The node's process id. */
    processId: number;
    /** The scenarios' names. */
    scenarios: string[];
    /** The tags that the user put on the whole run: `--tag K=V`. */
    tags: Tag[];
    /**
     * How often this recorder gets `stats`: `--stats-interval`, or its own
     * `--recorder PATH,interval=10s`.
     */
    statsIntervalMs: number;
    /**
     * The resolved plan as one JSON object, for a person or a log to read.
     * Its keys may grow with any version of the host.
     */
    plan: string;
    /** What the user set for this recorder: `--recorder PATH,key=value`. */
    options: [string, string][];
  }
  /** A node's part in a run. */
  export type Role =
    | "standalone"
    | "master"
    | "worker";
  /** The end of the ramp-up. */
  export interface RampUp {
    /** How many VUs are running. */
    vus: number;
  }
  /** Why a run is winding down. */
  export type StopReason =
    /** Its executors are through. */
    | { tag: "completed" }
    /** The user interrupted it. */
    | { tag: "interrupted" }
    /** A threshold with abort-on-fail failed. */
    | { tag: "threshold"; val: string }
    /** A script called `abort-run`, with this reason. */
    | { tag: "aborted"; val: string }
    /** Something else, in words. */
    | { tag: "other"; val: string };
  /**
   * Single measurements of one node, in the order in which they were made.
   * There can be tens of thousands of them a second, so each has nothing but
   * numbers; what they call by name stands once for all of them.
   */
  export interface Measurements {
    /** The texts of all, each once. */
    texts: string[];
    /** The sets of tags of all, each once. The first is the empty set. */
    tagSets: Tag[][];
    all: Measurement[];
  }
  /** A single measurement. */
  export interface Measurement {
    /** When it was made. */
    timeMs: number;
    /** How long the run had been going. */
    elapsedMs: number;
    /** What was measured. */
    kind: MeasurementKind;
  }
  /** What was measured. The set is as open as that of the events. */
  export type MeasurementKind =
    /** A request finished. */
    | { tag: "request"; val: Request }
    /** A transaction of the script's finished. */
    | { tag: "transaction"; val: Transaction }
    /** An iteration finished. */
    | { tag: "iteration"; val: Iteration }
    /** A check was made. */
    | { tag: "check"; val: Check }
    /** A value was added to a metric of the script's. */
    | { tag: "sample"; val: Sample }
    /** A measurement this version has no case for. */
    | { tag: "other"; val: OtherMeasurement };
  /** A place in `texts`, from 0. */
  export type Text = number;
  /** A place in `tag-sets`, from 0, which is the empty set. */
  export type TagSet = number;
  /** A request and what came of it. */
  export interface Request {
    scenario: Text;
    vu: number;
    iteration: number;
    method: Text;
    /** The name it is reported under. */
    name: Text;
    /** The URL as it was sent. */
    url: Text;
    /** 0 if no response arrived. */
    status: number;
    /** When it was sent. */
    startedAtMs: number;
    durationMs: number;
    /**
     * From the start of the request to the end of the response's headers.
     * Absent if no response arrived.
     */
    firstByteMs: number | null;
    /** Where the time went. */
    phases: RequestPhases;
    sentBytes: number;
    receivedBytes: number;
    /** Why it counts as a failure. Absent if it is a success. */
    failure: Text | null;
    tags: TagSet;
  }
  /**
   * The parts of a request's time. A part that did not happen is absent: a
   * request on an open connection has neither `connecting-ms` nor `tls-ms`.
   */
  export interface RequestPhases {
    /** Looking up the name and opening the connection, without TLS. */
    connectingMs: number | null;
    /** The TLS handshake. */
    tlsMs: number | null;
    /**
     * From the request's start, or from its connection being ready, to the
     * end of the response's headers.
     */
    waitingMs: number | null;
    /** From the end of the headers to the last byte of the body. */
    receivingMs: number | null;
  }
  /** A stretch of the script that was measured as a whole. */
  export interface Transaction {
    scenario: Text;
    vu: number;
    iteration: number;
    name: Text;
    durationMs: number;
    failure: Text | null;
    tags: TagSet;
  }
  /** One iteration of one VU. */
  export interface Iteration {
    scenario: Text;
    vu: number;
    iteration: number;
    durationMs: number;
    /** Why it failed. Absent if it is a success. */
    failure: Text | null;
  }
  /** A check and whether it held. */
  export interface Check {
    scenario: Text;
    vu: number;
    iteration: number;
    name: Text;
    passed: boolean;
    tags: TagSet;
  }
  /** A value of a metric of the script's. */
  export interface Sample {
    metric: Text;
    kind: MetricKind;
    /** For a rate, 1 or 0. */
    value: number;
    tags: TagSet;
  }
  /** How a metric's values add up. */
  export type MetricKind =
    | "counter"
    | "gauge"
    | "rate"
    | "trend";
  /** A failure of the script's own: an `err`, an exception, a trap. */
  export interface ScriptError {
    scenario: string;
    vu: number;
    iteration: number;
    message: string;
    stack: string | null;
  }
  /** Something the script logged, or printed. */
  export interface LogMessage {
    scenario: string;
    vu: number;
    iteration: number;
    level: LogLevel;
    message: string;
  }
  /** How much a message matters. */
  export type LogLevel =
    | "debug"
    | "info"
    | "warn"
    | "error";
  /** A threshold and how it stands. */
  export interface Threshold {
    /** As the user wrote it: `http_req_duration: p(95) < 500`. */
    expression: string;
    passed: boolean;
    /** The value that was compared. Absent while nothing was measured. */
    value: number | null;
  }
  /** Another load for a scenario than the plan says, from now on. */
  export interface LoadChange {
    scenario: string;
    action: LoadAction;
    /** The target until now; before a resumption, nothing. */
    before: Load;
    /** The target from now on; of a pause, nothing. */
    after: Load;
    by: Steerer;
  }
  /** What was done to a scenario's load. */
  export type LoadAction =
    /** It got another target. */
    | "target"
    /** No new iterations start until it is resumed. */
    | "paused"
    /** They start again. */
    | "resumed"
    | "other";
  /** What a scenario is to have. */
  export type Load =
    /** So many VUs. */
    | { tag: "vus"; val: number }
    /** So many new iterations a second. */
    | { tag: "rate"; val: number };
  /** Who changes a load while the run is going on. */
  export type Steerer =
    /** Somebody at the terminal's keys. */
    | { tag: "terminal" }
    /** Somebody who called the control API at this address. */
    | { tag: "control-api"; val: string }
    /** The plan's shape. */
    | { tag: "shape" }
    /** Something else, in words. */
    | { tag: "other"; val: string };
  /** What came of the shape, which said how much load there was. */
  export interface ShapeReport {
    /** Its name. */
    shape: string;
    /** What it found out, in its own order. */
    findings: Finding[];
    /** Why it failed, if it did. There are no findings then. */
    failure: string | null;
  }
  /** Something that a shape found out. */
  export interface Finding {
    /** What it is, such as `held`. */
    name: string;
    value: FindingValue;
  }
  export type FindingValue =
    | { tag: "text"; val: string }
    | { tag: "number"; val: Quantity };
  /** A number, and what it is a number of. */
  export interface Quantity {
    value: number;
    /** Such as `/s`, `ms` or `VUs`. May be empty. */
    unit: string;
  }
  /**
   * Statistics of the run: since the last `stats` event, and since the start.
   * The intervals add up to the total, whatever this recorder's interval, and
   * each is exact by itself.
   */
  export interface Stats {
    /** The VUs now running. */
    vus: number;
    /** Since the last `stats` event. */
    interval: Window;
    /** Since the start of the run. */
    total: Window;
    /** Whether every worker's share is in it. False while one is late or lost. */
    complete: boolean;
  }
  /** Statistics over one stretch of time. */
  export interface Window {
    durationMs: number;
    /** All requests together. */
    all: RequestStats;
    /**
     * One for each method and name. Past the run's limit on names, the rest
     * are counted together under the name `(other)`.
     */
    requests: RequestStats[];
    /** One for each name. Limited in the same way. */
    transactions: TransactionStats[];
    /**
     * One for each distinct failure of a request, a transaction or the
     * script, most frequent first, limited in the same way.
     */
    failures: FailureStats[];
    /** One for each name. Limited in the same way. */
    checks: CheckStats[];
    /** The script's own metrics. Limited in the same way. */
    metrics: MetricStats[];
    iterations: IterationStats;
  }
  /** How long something took, over a window. All zero if `count` is 0. */
  export interface Distribution {
    count: number;
    minMs: number;
    meanMs: number;
    medianMs: number;
    maxMs: number;
    /** In ascending order: `(0.95, 312.0)` says 95% took 312 ms or less. */
    percentilesMs: [number, number][];
  }
  /** Statistics of the requests of one method and name. */
  export interface RequestStats {
    /** Empty for all requests together. */
    method: string;
    /** Empty for all requests together. */
    name: string;
    requests: number;
    failures: number;
    /** Over the window. */
    requestsPerS: number;
    /** Over the window. */
    failuresPerS: number;
    /** From the start of the request to the last byte of its body. */
    duration: Distribution;
    /** The parts of `duration`. */
    phases: Phases;
    /**
     * How many responses had which status; 0 stands for none arrived. In
     * ascending order.
     */
    statuses: [number, number][];
    sentBytes: number;
    receivedBytes: number;
  }
  /**
   * The parts of a request's time. `connecting` and `tls` count the requests
   * that had to open a connection, and no other.
   */
  export interface Phases {
    /** Looking up the name and opening the connection, without TLS. */
    connecting: Distribution;
    /** The TLS handshake. */
    tls: Distribution;
    /**
     * From the request's start, or from its connection being ready, to the
     * end of the response's headers.
     */
    waiting: Distribution;
    /** From the end of the headers to the last byte of the body. */
    receiving: Distribution;
  }
  /** Statistics of the transactions of one name. */
  export interface TransactionStats {
    name: string;
    failures: number;
    duration: Distribution;
  }
  /** One distinct failure and how often it occurred. */
  export interface FailureStats {
    origin: FailureOrigin;
    /** The request's method. Empty for other origins. */
    method: string;
    /** The name of the request or transaction; the scenario for a script. */
    name: string;
    message: string;
    occurrences: number;
    firstSeenMs: number;
    lastSeenMs: number;
  }
  /** What failed. */
  export type FailureOrigin =
    | "request"
    | "transaction"
    | "script";
  /** Statistics of the checks of one name. */
  export interface CheckStats {
    name: string;
    passes: number;
    failures: number;
  }
  /** Statistics of one of the script's own metrics. */
  export interface MetricStats {
    name: string;
    kind: MetricKind;
    /** How many values were added. */
    count: number;
    /**
     * A counter's sum, a gauge's latest value, a rate's share of hits
     * (0 to 1), a trend's mean.
     */
    value: number;
    /**
     * A trend's distribution, in the unit the script used. Absent for the
     * other kinds.
     */
    distribution: Distribution | null;
  }
  /** Statistics of the iterations. */
  export interface IterationStats {
    /** Those that came to an end, well or badly. */
    finished: number;
    /** Those of them that failed. */
    failed: number;
    /** Those that were cut short because the run ended. */
    interrupted: number;
    /** Those that were due but could not start. */
    dropped: number;
    duration: Distribution;
    /**
     * From when an iteration was due until it started, of those that start at a
     * rate.
     */
    lag: Distribution;
  }
  /** The run as a whole. */
  export interface RunSummary {
    passed: boolean;
    /** The exit code of the host: 0 passed, 99 a threshold failed, … */
    exitCode: number;
    reason: StopReason;
    /** The last `stats` once more, complete unless a worker was lost. */
    stats: Stats;
    thresholds: Threshold[];
    /** What is missing from the figures, or from what this recorder was told. */
    quality: DataQuality;
  }
  /**
   * What is missing from a run's figures, or from what a recorder was told of
   * it. All zero and empty in a run to be trusted.
   */
  export interface DataQuality {
    /** Events dropped before they reached this recorder. */
    eventsDropped: number;
    /** Messages of scripts beyond the run's limit: counted, and not delivered. */
    logMessagesDropped: number;
    /**
     * Failures of scripts beyond the run's limit: part of the statistics, and
     * not delivered as a `script-error` each.
     */
    scriptErrorsDropped: number;
    /** Workers that were lost and did not come back. */
    workersLost: number;
    /** VUs that could not start. */
    vusNotStarted: number;
    /** How many times a node ran short of something: its `resource-warning`s. */
    resourceWarnings: number;
    /** The kinds of names of which there were more than the run's limit. */
    namesCapped: CappedNames[];
  }
  /** Names beyond the run's limit, which have no statistics of their own. */
  export interface CappedNames {
    kind: NameKind;
    /** How many names have statistics of their own. */
    limit: number;
    /**
     * How often others were used: that often something is counted under the
     * name `(other)`.
     */
    uses: number;
  }
  /** What a name names. */
  export type NameKind =
    /** The method and the name of requests. */
    | "request"
    | "transaction"
    | "check"
    /** One of the script's own metrics. */
    | "metric"
    /** One distinct failure. */
    | "failure"
    | "other";
  /** A resource that runs short. */
  export interface ResourceWarning {
    resource: ResourceKind;
    /** What was measured, in the unit of `limit`. */
    value: number;
    /**
     * What it is held against: percent of one core's or the machine's time
     * for `cpu`, bytes for `memory`, a number for `open-files`.
     */
    limit: number;
  }
  /** What can run short on a node. */
  export type ResourceKind =
    | "cpu"
    | "memory"
    | "open-files"
    | "other";
  /** What a node's process uses. */
  export interface SystemUsage {
    /** 100 is one core fully used. */
    cpuPercent: number;
    /**
     * How many cores the process may use: what the machine has, or its limit
     * in a container, rounded down.
     */
    cores: number;
    /** The use of the whole machine: 100 is all its cores fully used. */
    machineCpuPercent: number;
    /**
     * The part of the machine's time that its own host took from it, in
     * percent. Absent where the system does not tell.
     */
    machineStealPercent: number | null;
    /**
     * The latest that a timer of a thread that plays VUs fired, since the last
     * `system` event. Responses wait for the thread as long as its timers do:
     * above some 50, times are in doubt.
     */
    schedulerLagMs: number;
    /** Resident, of the process. */
    memoryBytes: number;
    /** All that the machine has, or that the container may use. */
    machineMemoryBytes: number;
    threads: number;
    openFiles: number;
    /** How many files the process may have open. */
    openFilesLimit: number;
    /** Of the machine, since the run started. */
    networkSentBytes: number;
    /** Of the machine, since the run started. */
    networkReceivedBytes: number;
    /** By the requests of this process alone, since the run started. */
    requestsSentBytes: number;
    /** By the requests of this process alone, since the run started. */
    requestsReceivedBytes: number;
  }
  /** A measurement from a newer version of this package. */
  export interface OtherMeasurement {
    /** The measurement's name, in the newer package. */
    name: Text;
    /** Its payload, as JSON. */
    payload: Text;
  }
  /** An event from a newer version of this package. */
  export interface OtherEvent {
    /** The event's name, in the newer package. */
    name: string;
    /** Its payload, as JSON. */
    payload: string;
  }
}
