// Written by `make openapi` from events/schemas.py.
// What API, stream and export show of events. Ignore types and fields that are not here: later versions add some.

export declare const SCHEMA_VERSION: 1;

/** What every event has. */
export interface Envelope<Type extends string, Payload> {
  /** The cursor: events are in the order of their ids, and that is the order of commits. */
  id: number;
  at: string;
  type: Type;
  project_id: number | null;
  task_id: number | null;
  run_id: number | null;
  /** The agent that did it, or whose run it is about. */
  agent_id?: number | null;
  level?: "debug" | "info" | "warning" | "error";
  /** Who did it: `user:ada`, `token:3`, `agent:3`, `scheduler:…`. */
  actor: string;
  /** Joins the event to the request, the log lines and the other events it belongs to. */
  trace_id: string;
  payload: Payload;
}

/** Something that a person should know. `kind` says for programs what it is. */
export interface Alert {
  kind: string;
  message: string;
  details?: Record<string, unknown>;
}

/** What the usage limit kept may start again. */
export interface BreakerClosed {
  breaker_id: number;
  provider: string;
  version: number;
  reason: "trial" | "reset";
}

/** A usage limit is reached: nothing starts with this credential before `reset_at`. */
export interface BreakerOpened {
  breaker_id: number;
  provider: string;
  version: number;
  reset_at: string;
  error_code: string;
}

/** A row came to be. `version` orders what a client applies. */
export interface Created {
  id: number;
  version: number;
  title?: string;
}

/** A row is gone. */
export interface Deleted {
  id: number;
}

/** A person's command to a task: what was asked, and what became of it. */
export interface Intervention {
  command: string;
  outcome: "applied" | "refused" | "conflict";
  reason?: string;
  status?: string;
}

/** What a person was asked for is settled. */
export interface ItemClosed {
  item_id: number;
  item_type: string;
  resolution: string;
}

/** A person is asked for something. */
export interface ItemCreated {
  item_id: number;
  item_type: string;
  title: string;
}

/** One of many events that `bbb load events` writes to see how they arrive. It tells of nothing. */
export interface LoadProbe {
  test: string;
  number: number;
}

/** The oldest control events were removed, as the settings say: the audit chain goes on behind `chain_seq`. */
export interface Pruned {
  count: number;
  cursor: number;
  chain_seq: number;
  chain_hash: string;
}

/** A line about a run that an outside tool has written. The run's own log is not in the event log. */
export interface RunLogged {
  epoch: number;
  level: "debug" | "info" | "warning" | "error";
  text: string;
  source: string;
}

/** Where a run is: one event for many lines of its log, `seq` being the last of them. */
export interface RunProgress {
  epoch: number;
  seq: number;
  kind: string;
  text: string;
  turns?: number;
  token_out?: number;
  cost_usd?: number;
}

/** A run moved on. `before` is empty when the run was made by this event. */
export interface RunStatusChanged {
  before: string;
  after: string;
  attempt: number;
  epoch: number;
  reason?: string;
  error_code?: string;
  next_retry_at?: string | null;
}

/** What a guard let through or refused. Shown to admins only. */
export interface SecurityAudit {
  action: string;
  resource: string;
  outcome: "allowed" | "denied";
  reason?: string;
  ip?: string;
}

/** A superseded attempt tried to write. */
export interface StaleWrite {
  epoch: number;
  owner: string;
  action: string;
}

/** A task moved on. `version` orders what a client applies. */
export interface TaskStatusChanged {
  before: string;
  after: string;
  version: number;
  reason?: string;
}

/** An agent wanted to use a tool that the policy does not settle by itself. */
export interface ToolCommand {
  tool: string;
  outcome: "allowed" | "denied";
  reason?: string;
}

/** Fields of a row changed. */
export interface Updated {
  id: number;
  version: number;
  fields: Array<string>;
}

/** What a person said. */
export interface UserInput {
  item_id: number;
  user_input: string;
}

export type TaskCreatedEvent = Envelope<"task.created", Created>;
export type TaskUpdatedEvent = Envelope<"task.updated", Updated>;
export type TaskDeletedEvent = Envelope<"task.deleted", Deleted>;
export type TaskStatusChangedEvent = Envelope<"task.status.changed", TaskStatusChanged>;
export type TaskInterventionAuditEvent = Envelope<"task.intervention.audit", Intervention>;
export type RunStatusChangedEvent = Envelope<"run.status.changed", RunStatusChanged>;
export type RunProgressEvent = Envelope<"run.progress", RunProgress>;
export type RunLogEvent = Envelope<"run.log", RunLogged>;
export type RunStaleWriteRejectedEvent = Envelope<"run.stale_write_rejected", StaleWrite>;
export type InboxItemCreatedEvent = Envelope<"inbox.item.created", ItemCreated>;
export type InboxItemUpdatedEvent = Envelope<"inbox.item.updated", Updated>;
export type InboxItemClosedEvent = Envelope<"inbox.item.closed", ItemClosed>;
export type UserInputSubmittedEvent = Envelope<"user.input.submitted", UserInput>;
export type AlertRaisedEvent = Envelope<"alert.raised", Alert>;
export type BreakerOpenedEvent = Envelope<"breaker.opened", BreakerOpened>;
export type BreakerClosedEvent = Envelope<"breaker.closed", BreakerClosed>;
export type AgentCreatedEvent = Envelope<"agent.created", Created>;
export type AgentUpdatedEvent = Envelope<"agent.updated", Updated>;
export type AgentDeletedEvent = Envelope<"agent.deleted", Deleted>;
export type ProjectCreatedEvent = Envelope<"project.created", Created>;
export type ProjectUpdatedEvent = Envelope<"project.updated", Updated>;
export type ProjectDeletedEvent = Envelope<"project.deleted", Deleted>;
export type DocumentCreatedEvent = Envelope<"document.created", Created>;
export type DocumentUpdatedEvent = Envelope<"document.updated", Updated>;
export type DocumentDeletedEvent = Envelope<"document.deleted", Deleted>;
export type CommentCreatedEvent = Envelope<"comment.created", Created>;
export type CommentUpdatedEvent = Envelope<"comment.updated", Updated>;
export type CommentDeletedEvent = Envelope<"comment.deleted", Deleted>;
export type ToolCommandAuditEvent = Envelope<"tool.command.audit", ToolCommand>;
export type SecurityAuditAccessEvent = Envelope<"security.audit.access", SecurityAudit>;
export type SecurityAuditTokenEvent = Envelope<"security.audit.token", SecurityAudit>;
export type SecurityAuditPathEvent = Envelope<"security.audit.path", SecurityAudit>;
export type LogPrunedEvent = Envelope<"log.pruned", Pruned>;
export type LoadProbeEvent = Envelope<"load.probe", LoadProbe>;
export type Event =
  | TaskCreatedEvent
  | TaskUpdatedEvent
  | TaskDeletedEvent
  | TaskStatusChangedEvent
  | TaskInterventionAuditEvent
  | RunStatusChangedEvent
  | RunProgressEvent
  | RunLogEvent
  | RunStaleWriteRejectedEvent
  | InboxItemCreatedEvent
  | InboxItemUpdatedEvent
  | InboxItemClosedEvent
  | UserInputSubmittedEvent
  | AlertRaisedEvent
  | BreakerOpenedEvent
  | BreakerClosedEvent
  | AgentCreatedEvent
  | AgentUpdatedEvent
  | AgentDeletedEvent
  | ProjectCreatedEvent
  | ProjectUpdatedEvent
  | ProjectDeletedEvent
  | DocumentCreatedEvent
  | DocumentUpdatedEvent
  | DocumentDeletedEvent
  | CommentCreatedEvent
  | CommentUpdatedEvent
  | CommentDeletedEvent
  | ToolCommandAuditEvent
  | SecurityAuditAccessEvent
  | SecurityAuditTokenEvent
  | SecurityAuditPathEvent
  | LogPrunedEvent
  | LoadProbeEvent;

export type EventType = Event["type"];
