/** What the form for a new session says, as the request; or what is wrong with it, in a sentence. */

import type { CreateTerminal } from "../api/protocol";

export interface NewSessionForm {
  title: string;
  command: string;
  cwd: string;
  sandbox: "" | "workspace" | "locked";
  /** Hosts it may reach, between blanks or commas. */
  hosts: string;
  /** `key=value` or `key`, between commas. */
  labels: string;
  limits: Readonly<Record<LimitName, string>>;
}

export type LimitName = "memory" | "processes" | "cpu_weight" | "open_files" | "minutes" | "disk";

interface Limit {
  label: string;
  least: number;
  most: number;
  /** One of what is asked for in what the bridge counts in. */
  unit: number;
  field: keyof NonNullable<CreateTerminal["limits"]>;
}

const MIB = 2 ** 20;

/** As the bridge bounds them. */
export const LIMITS: Readonly<Record<LimitName, Limit>> = {
  memory: { label: "Memory of each process, MiB", least: 16, most: 2 ** 30, unit: MIB, field: "memory_bytes" },
  processes: { label: "Processes", least: 2, most: 4_194_304, unit: 1, field: "processes" },
  cpu_weight: { label: "Share of the CPU, 1 to 100", least: 1, most: 100, unit: 1, field: "cpu_weight" },
  open_files: { label: "Open files of each process", least: 8, most: 1_048_576, unit: 1, field: "open_files" },
  minutes: { label: "Minutes until it is ended", least: 1, most: 527_040, unit: 60, field: "wall_s" },
  disk: { label: "Own files when confined, MiB", least: 1, most: 2 ** 30, unit: MIB, field: "disk_bytes" },
};
export const LIMIT_NAMES = Object.keys(LIMITS) as LimitName[];

export const EMPTY_FORM: NewSessionForm = {
  title: "", command: "", cwd: "", sandbox: "", hosts: "", labels: "",
  limits: { memory: "", processes: "", cpu_weight: "", open_files: "", minutes: "", disk: "" },
};

export function requestFrom(form: NewSessionForm): CreateTerminal | string {
  const request: CreateTerminal = {};
  if (form.title.trim()) request.title = form.title.trim();
  if (form.command.trim()) request.command = ["sh", "-c", form.command];
  if (form.cwd.trim()) request.cwd = form.cwd.trim();
  if (form.sandbox) request.sandbox = form.sandbox;
  const hosts = form.hosts.split(/[\s,]+/).filter((host) => host !== "");
  if (hosts.length > 0) {
    if (form.sandbox !== "workspace") return "Only a session confined to its folder has a list of hosts. Choose that, or leave the hosts out.";
    request.allow_hosts = hosts;
  }
  const labels = labelsFrom(form.labels);
  if (typeof labels === "string") return labels;
  if (Object.keys(labels).length > 0) request.labels = labels;
  const limits = limitsFrom(form.limits);
  if (typeof limits === "string") return limits;
  if (Object.keys(limits).length > 0) request.limits = limits;
  return request;
}

/** `key=value` or `key`, between commas or lines. */
export function labelsFrom(text: string): Record<string, string> | string {
  const labels: Record<string, string> = {};
  for (const part of text.split(/[,\n]/)) {
    const [key = "", ...rest] = part.split("=");
    const name = key.trim();
    if (name === "" && rest.length > 0) return `A label needs a name before its “=”: “${part.trim()}”.`;
    if (name !== "") labels[name] = rest.join("=").trim();
  }
  return labels;
}

function limitsFrom(texts: NewSessionForm["limits"]): NonNullable<CreateTerminal["limits"]> | string {
  const limits: NonNullable<CreateTerminal["limits"]> = {};
  for (const name of LIMIT_NAMES) {
    const text = texts[name].trim();
    if (text === "") continue;
    const { label, least, most, unit, field } = LIMITS[name];
    const value = Number(text);
    if (!Number.isInteger(value) || value < least || value > most) return `“${label}” is a whole number from ${least} to ${most}; “${text}” is not.`;
    limits[field] = value * unit;
  }
  return limits;
}
