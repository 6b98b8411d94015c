/** A command line, as its row shows it. */

const BY_A_SHELL = /^(?:\S*\/)?(?:ba|da|z|k)?sh -l?i?c (?=\S)/;

/** Without the shell that only runs it. */
export function commandText(line: string): string {
  return line.replace(BY_A_SHELL, "") || "login shell";
}
