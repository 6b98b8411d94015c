/**
 * Provisional: the shape `npm run gen` writes from openapi.json, kept by hand
 * until that file exists. Do not edit; it is overwritten.
 */

export interface components {
  schemas: {
    SessionKind: "terminal" | "browser" | "file" | "process";
    SessionStatus: "starting" | "running" | "exited" | "closed" | "lost" | "failed";
    ClientKind: "web" | "desktop" | "cli" | "agent" | "mcp";
    PrincipalRole: "owner" | "collaborator" | "agent" | "viewer";
    SizeMode: "holder" | "fixed" | "cap";
    ResumeMode: "exact" | "snapshot" | "gap";
    SnapshotChoice: "auto" | "always" | "never";
    Profile: "host" | "workspace" | "locked";
    Scope: "session" | "system";
    ErrorCode:
      | "invalid" | "unauthenticated" | "forbidden" | "denied" | "client_id_taken" | "not_found" | "client_not_attached"
      | "lease_held" | "not_owner" | "lease_lost" | "name_taken" | "session_running" | "session_ended" | "busy"
      | "size_fixed" | "invalid_transition" | "cursor_trimmed" | "too_large" | "rate_limited" | "input_full"
      | "sessiond_down" | "hello_required" | "replaced" | "input_uncertain";
    Size: {
      policy?: components["schemas"]["SizeMode"];
      cols: number;
      rows: number;
      max_cols?: number | null;
      max_rows?: number | null;
    };
    Exit: { code?: number | null; signal?: number | null; reason: string };
    Lease: {
      owner: string;
      owner_name: string;
      owner_kind: components["schemas"]["ClientKind"];
      epoch: number;
      expires_at: string;
      expired?: boolean;
    };
    Session: {
      id: string;
      kind: components["schemas"]["SessionKind"];
      status: components["schemas"]["SessionStatus"];
      title: string;
      terminal_title?: string | null;
      workspace_id?: string | null;
      terminal_id?: string | null;
      owner_agent_id?: string | null;
      command: string[];
      size: components["schemas"]["Size"];
      labels: { [key: string]: string };
      parked: boolean;
      instance: string;
      cursor: string;
      oldest_cursor: string;
      pid?: number | null;
      created_at: string;
      last_activity_at: string;
      exit?: components["schemas"]["Exit"] | null;
      failure?: string | null;
      lease?: components["schemas"]["Lease"] | null;
      client_count: number;
    };
    Viewport: { cols: number; rows: number };
    Client: {
      client_id: string;
      client_kind: components["schemas"]["ClientKind"];
      name: string;
      viewport?: components["schemas"]["Viewport"] | null;
      attached_at: string;
    };
    Foreground: { pid: number; command: string };
    Modes: { echo: boolean; canonical: boolean; at_prompt: boolean };
    SessionDetail: components["schemas"]["Session"] & {
      clients: components["schemas"]["Client"][];
      modes: components["schemas"]["Modes"];
      foreground?: components["schemas"]["Foreground"] | null;
      cwd?: string | null;
    };
    Page_Session: { items: components["schemas"]["Session"][]; next_cursor?: string | null };
    Principal: { id: string; name: string; role: components["schemas"]["PrincipalRole"] };
    LoginRequest: { token?: string | null; code?: string | null };
    LoginAnswer: { key: string; principal: components["schemas"]["Principal"] };
    CreateTerminal: {
      terminal_id?: string | null;
      workspace_id?: string | null;
      command?: string[] | null;
      cwd?: string | null;
      env?: { [key: string]: string };
      title?: string | null;
      labels?: { [key: string]: string };
      cols?: number | null;
      rows?: number | null;
      sandbox?: components["schemas"]["Profile"] | null;
    };
    Created: {
      session_id: string;
      stream_url: string;
      replay_cursor: string;
      created: boolean;
      status: components["schemas"]["SessionStatus"];
    };
    LeaseAnswer: { lease_owner?: string | null; lease_expires_at?: string | null; epoch: number };
    Problem: {
      type: string;
      title: string;
      status: number;
      code: components["schemas"]["ErrorCode"];
      detail: string;
      request_id: string;
      owner_name?: string | null;
      owner_kind?: components["schemas"]["ClientKind"] | null;
      retry_after_s?: number | null;
    };
    Event: { seq: number; scope: components["schemas"]["Scope"]; scope_id: string; type: string; at: string; data: unknown };
    TermFacts: {
      fg?: string | null;
      bg?: string | null;
      kitty?: number | null;
      da1?: string | null;
      cell_px?: number[] | null;
    };
    ClientFrame:
      | {
          type: "hello";
          client_id: string;
          resume_cursor?: string | null;
          client_kind?: components["schemas"]["ClientKind"] | null;
          name?: string | null;
          cols?: number | null;
          rows?: number | null;
          input_stream?: number | null;
          term?: components["schemas"]["TermFacts"] | null;
          snapshot?: components["schemas"]["SnapshotChoice"];
        }
      | { type: "input"; data_b64: string; epoch: number; seq?: number | null }
      | { type: "resize"; cols: number; rows: number }
      | { type: "viewport"; cols: number; rows: number }
      | { type: "ack"; cursor: string }
      | { type: "claim"; force?: boolean }
      | { type: "release" }
      | { type: "transfer"; to_client_id: string }
      | { type: "request_control" }
      | { type: "deny_control"; client_id: string }
      | { type: "heartbeat" }
      | { type: "detach" };
    ServerFrame:
      | {
          type: "ready";
          session_id: string;
          instance: string;
          lease_owner?: string | null;
          owner_name?: string | null;
          owner_kind?: components["schemas"]["ClientKind"] | null;
          epoch: number;
          lease_expires_at?: string | null;
          cursor: string;
          cols: number;
          rows: number;
          size: components["schemas"]["Size"];
          modes: components["schemas"]["Modes"];
          status: components["schemas"]["SessionStatus"];
          input_seq: number;
          mode: components["schemas"]["ResumeMode"];
          lost?: number | null;
          restarted?: boolean | null;
        }
      | { type: "snapshot"; data_b64: string; cursor: string; cols: number; rows: number }
      | { type: "data"; data_b64: string; cursor: string }
      | { type: "input_ack"; seq: number }
      | {
          type: "lease";
          owner?: string | null;
          epoch: number;
          expires_at?: string | null;
          owner_name?: string | null;
          owner_kind?: components["schemas"]["ClientKind"] | null;
          expired?: boolean | null;
        }
      | { type: "clients"; clients: components["schemas"]["Client"][] }
      | { type: "control_requested"; client_id: string; name: string }
      | { type: "control_denied"; by?: string | null }
      | { type: "mode"; alt_screen: boolean; mouse_mode?: string | null; bracketed_paste: boolean; title?: string | null }
      | { type: "resize"; cols: number; rows: number; cursor: string }
      | { type: "exit"; code?: number | null; signal?: number | null; reason: string }
      | {
          type: "error";
          code: components["schemas"]["ErrorCode"];
          message: string;
          seq?: number | null;
          accepted?: number | null;
          by?: string | null;
          since?: string | null;
          owner_name?: string | null;
          owner_kind?: components["schemas"]["ClientKind"] | null;
        }
      | { type: "pong"; expires_at?: string | null };
  };
}
